"""A found mount to a table of ours: the program's table of options, then what is so for every program. Pure, but for
looking whether files of credentials are there.
"""

import re
from collections.abc import Collection
from typing import Any, Final

from engine.spec import MountSpec
from engine.variables import ALLOWED
from mountctl.config.values import judge
from mountctl.config.words import shown
from mountctl.importing.draft import Draft, Refused
from mountctl.importing.found import Found
from mountctl.importing.host import Host
from mountctl.importing.programs import TRANSLATE

_EXECUTABLE: Final = 0o111
_OWNERS_ALONE: Final = 0o700
_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_NAME: Final = re.compile(r"[^0-9a-zA-Z\-._]")
_NAME_CHARACTERS_MAX: Final = 63


def translate(found: Found, host: Host) -> Draft:
    """The draft of a mount. Raises Refused if it can be none of ours."""
    if any(map(_is_no_text, (found.source, found.mountpoint, *(each.value or "" for each in found.options)))):
        raise Refused("it has bytes that are no text, which a configuration can't have: rename what has them")
    draft = Draft(found, has_file=host.is_file)
    TRANSLATE[found.program](draft)
    draft.keys["mountpoint"] = found.mountpoint.rstrip("/") or "/"
    _environment(draft)
    _user(draft, host)
    _modes(draft)
    if draft.environment:
        draft.keys["environment"] = dict(sorted(draft.environment.items()))
    _judge(draft)
    return draft


def _is_no_text(value: str) -> bool:
    """A NUL, or bytes that are no UTF-8."""
    return "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)


def name_for(draft: Draft, taken: Collection[str]) -> str:
    """A telling name: the mountpoint's last word, or all of it, or with a number behind."""
    path = draft.keys["mountpoint"].strip("/")
    words = [
        _plain(path.rpartition("/")[2]),
        _plain(path.replace("/", "-")),
        f"{_plain(path.rpartition('/')[2])}-{draft.keys['bucket']}",
    ]
    free = [_plain(word) for word in words if _plain(word) not in taken]
    number = 2
    while not free:
        word = f"{words[1][: _NAME_CHARACTERS_MAX - 4]}-{number}"
        free = [word] if word not in taken else []
        number += 1
    return free[0]


def spec_of(name: str, draft: Draft) -> MountSpec:
    """The mount. Raises pydantic.ValidationError, after translate() never."""
    return MountSpec.model_validate({"name": name} | draft.keys)


def _plain(text: str) -> str:
    return _NAME.sub("_", text)[-_NAME_CHARACTERS_MAX:].lstrip("-._") or "mount"


def _environment(draft: Draft) -> None:
    """Variables of a unit that count for a mount, too. Keys became a profile."""
    for name, value in sorted(draft.found.environment.items()):
        if name == "AWS_PROFILE":
            draft.keys.setdefault("profile", value)
        elif name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            draft.keys.setdefault("region", value)
        elif name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            draft.keys.setdefault("endpoint-url", value)
        elif name == "AWS_CA_BUNDLE":
            draft.keys.setdefault("ca-bundle", value)
        elif name in ALLOWED and value and "@" not in value:
            draft.environment.setdefault(name, value)
        elif name.upper() in ("HTTPS_PROXY", "HTTP_PROXY") and "@" in value:
            draft.to_do(name, "it has a user in it, which no option takes. Set it in the supervisor's environment.")
    if draft.key_source is None and set(_KEYS) <= draft.found.unread:
        draft.to_do(
            "AWS_ACCESS_KEY_ID",
            "the process has its keys in its environment, which is not read. Put them into ~/.aws/credentials, and set "
            "profile to the name that you give them there.",
        )


def _user(draft: Draft, host: Host) -> None:
    """A program that ran as somebody else: files were his, and for him alone unless others were let in."""
    user = draft.found.user
    if user is None:
        return
    if user.uid is None:
        draft.to_do("User", f"it ran as {user.name}, whom this host does not know. Set uid and gid to his numbers.")
        return
    draft.keys.setdefault("uid", user.uid)
    if user.gid:
        draft.keys.setdefault("gid", user.gid)
    if not draft.keys.get("allow-other"):
        draft.keys.pop("allow-root", None)
        draft.keys["allow-other"] = True
        for key, default in (("dir-mode", 0o755), ("file-mode", 0o644)):
            mode = int(draft.keys.get(key, f"{default:o}"), 8)
            draft.keys[key] = f"{mode & _OWNERS_ALONE:04o}"
    files = {"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "config"}
    if draft.key_source is None and not draft.keys.get("no-sign-request"):
        for variable, file in files.items():
            path = f"{user.home}/.aws/{file}"
            if user.home and host.is_file(path):
                draft.environment.setdefault(variable, path)


def _modes(draft: Draft) -> None:
    if draft.umask is not None:
        for key, most in (("dir-mode", 0o777), ("file-mode", 0o666)):
            draft.keys.setdefault(key, f"{most & ~draft.umask:04o}")
    for key, default in (("dir-mode", 0o755), ("file-mode", 0o644)):
        mode = draft.keys.get(key)
        if mode is None or not re.fullmatch("[0-7]{1,4}", str(mode)):
            continue
        number = int(mode, 8) & (~_EXECUTABLE if draft.no_execute and key == "file-mode" else 0o777)
        if number == default:
            del draft.keys[key]
        else:
            draft.keys[key] = f"{number & 0o777:04o}"


def _judge(draft: Draft) -> None:
    """Leave out what MountSpec does not take, and say so. Raises Refused for bucket and mountpoint."""
    for _ in range(len(draft.keys) + 1):
        _, faults = judge(MountSpec, {"name": "x", **draft.keys})
        if not faults:
            return
        for fault in faults:
            key = fault.key or _first_named(fault.reason, draft.keys)
            if key in ("bucket", "mountpoint", "") or key not in draft.keys:
                raise Refused(f"{key}: {fault.reason}" if fault.key else fault.reason)
            value = draft.keys.pop(key)
            draft.no_equal(f"{key} = {_shown(value)}", f"{fault.reason}.")


def _first_named(sentence: str, keys: Collection[str]) -> str:
    return next((word for word in re.findall(r"[a-z]+(?:-[a-z]+)*", sentence) if word in keys), "")


def _shown(value: Any) -> str:
    return shown(value) if not isinstance(value, (dict, list)) else "..."
