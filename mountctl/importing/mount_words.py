"""Words of mount(8), systemd and libfuse, which every program's `-o` and every line of fstab may have."""

from typing import Final

from mountctl.importing.draft import Draft, Rule, Rules, is_on, none, owner, switch, unneeded, value_of
from mountctl.importing.found import FstabLine, Given
from mountctl.importing.quantities import octal

# Mounts of ours are so anyway, or the supervisor sees to it, or it tunes what works otherwise here.
_UNNEEDED: Final = (
    *("auto", "defaults", "rw", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "netdev", "nodev"),
    *(
        "nosuid",
        "noatime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "atime",
        "exec",
        "async",
        "noiversion",
    ),
    *("nomand", "silent", "loud", "lazytime", "nolazytime", "default_permissions", "nonempty", "big_writes", "intr"),
    *("kernel_cache", "auto_cache", "noauto_cache", "ac_attr_timeout", "attr_timeout", "entry_timeout", "async_read"),
    *("negative_timeout", "sync_read", "max_read", "max_write", "max_readahead", "max_background", "hard_remove"),
    *("congestion_threshold", "large_read", "use_ino", "readdir_ino", "fsname", "subtype", "fd", "rootmode", "user_id"),
    *("group_id", "blksize", "noforget", "remember", "splice_read", "splice_write", "splice_move", "no_splice_read"),
    *("no_splice_write", "no_splice_move", "clone_fd", "max_idle_threads", "max_threads", "modules", "atomic_o_trunc"),
    *("comment", "x-mount.mkdir", "X-mount.mkdir", "context", "fscontext", "rootcontext", "defcontext"),
)
_NO_SET_ID: Final = "mounts are always nosuid and nodev here, as objects have no such files. Nothing to do."


def _no_auto(draft: Draft, given: Given) -> None:
    if any(each.name == "x-systemd.automount" for each in draft.found.options):
        draft.nothing_needed(given)  # systemd mounts it when somebody comes: here it is there before
    elif isinstance(draft.found.way, FstabLine):
        draft.no_equal(
            given,
            "not mounted before somebody asks. Here what is declared is. `mountctl stop NAME` keeps it unmounted.",
        )


def _no_execute(draft: Draft, given: Given) -> None:
    draft.no_execute = is_on(given)


def _read_only(draft: Draft, given: Given) -> None:
    draft.keys["read-only"] = True


def _umask(draft: Draft, given: Given) -> None:
    draft.umask = octal(value_of(given))


WORDS: Final[Rules] = {
    **{name: unneeded() for name in _UNNEEDED},
    "ro": Rule(_read_only, takes=False),
    "noauto": Rule(_no_auto, takes=False),
    "noexec": Rule(_no_execute, takes=False),
    "suid": none(_NO_SET_ID, takes=False),
    "dev": none(_NO_SET_ID, takes=False),
    "sync": unneeded(takes=False),  # close() returns when S3 has the object
    "dirsync": unneeded(takes=False),
    "allow_other": switch("allow-other"),
    "allow_root": switch("allow-root"),
    "auto_unmount": switch("auto-unmount"),
    "direct_io": none(
        "had programs read past the kernel's cache. Here it keeps what was read of a version that S3 still has. "
        "Nothing to do; metadata-ttl says how soon another version is seen.",
        takes=False,
    ),
    "debug": switch("debug"),
    "uid": owner("uid"),
    "gid": owner("gid"),
    "umask": Rule(_umask),
}


def is_for_systemd(name: str) -> bool:
    """Words that are somebody's who knows: x-systemd.automount, x-initrd.mount, x-gvfs-hide."""
    return name.lower().startswith("x-")


def with_words(draft: Draft, rules: Rules) -> Rules:
    """A program's rules over mount(8)'s; and those of systemd's words that it was given."""
    for_systemd = {each.name: unneeded() for each in draft.found.options if is_for_systemd(each.name)}
    return WORDS | for_systemd | rules


def split(text: str) -> list[Given]:
    """An option string at its commas; a backslash keeps what is behind it, as libfuse has it."""
    words, word, escaped = [], "", False
    for character in text:
        if character == "," and not escaped:
            words.append(word)
            word = ""
        elif character == "\\" and not escaped:
            escaped = True
            continue
        else:
            word += character
        escaped = False
    words.append(word)
    return [given(each) for each in words if each]


def given(word: str) -> Given:
    """`name` or `name=value`."""
    name, has_value, value = word.partition("=")
    return Given(name.strip(), value.strip().strip('"') if has_value else None, is_word=True)
