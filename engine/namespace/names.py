"""Keys of S3 and names of files: what a key's component must be to have a path, and how paths become keys.

Used by lookup, listing and the inode table. Pure: no I/O, no state; what was hidden is told by `hidden.py`.

A *location* is a key's text up to and without a closing slash: the file `a/b` and the directory `a/b/` share the
location `a/b`, as they share a path. A directory's *prefix* is what all keys below it start with.
"""

from typing import Final

from engine.errors import InvalidName, NameTooLong

# FUSE_NAME_MAX: the kernel fails a whole directory reply with EIO for one longer name; newer ones look longer ones up.
NAME_BYTES_MAX: Final = 1024


def problem(name: str) -> str | None:
    """Why a component of a key can't be a file's name, as the end of a sentence; None if it can."""
    if not name:
        return "is empty (the key has '//' in it or starts with '/')"
    if name in (".", ".."):
        return f"is {name!r}"
    if "/" in name or "\0" in name:
        return "has a slash or a NUL in it"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    return f"is longer than {NAME_BYTES_MAX} bytes" if length > NAME_BYTES_MAX else None


def decode(name: bytes) -> str:
    """The name as the kernel gave it. Raises InvalidName if no key of ours can have it as a component."""
    if len(name) > NAME_BYTES_MAX:
        raise NameTooLong(f"a name of {len(name)} bytes is longer than S3's keys can be")
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise InvalidName(f"the name {name!r} is not UTF-8, so no key has it") from error
    if why := problem(text):
        raise InvalidName(f"the name {text!r} {why}")
    return text


def name_in(prefix: str, key: str) -> str:
    """The component that a listed key or common prefix (with its closing slash) has below a directory's prefix."""
    return key[len(prefix) :].removesuffix("/")


def parent_prefix(location: str) -> str:
    """The prefix of the directory that holds a location: `a/b` is in `a/`, `a` in the empty prefix."""
    head, slash, _ = location.rpartition("/")
    return head + slash
