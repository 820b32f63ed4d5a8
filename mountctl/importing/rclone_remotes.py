"""rclone's remotes: which bucket a source names, and how its configuration says to reach it. Reads the file that it is
told of, nothing else; called by rclone.py.
"""

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mountctl.importing.draft import Refused

_ENCRYPTED: Final = "RCLONE_ENCRYPT_V"
_FILE_BYTES_MAX: Final = 1024 * 1024
# A remote of a remote of ...: more is a circle.
_ALIASES_MAX: Final = 8
_WRAPPERS: Final = {
    "crypt": "is encrypted by rclone, which nobody else can read: go on with rclone, or copy the files out of it",
    "compress": "is compressed by rclone, which nobody else can read: go on with rclone, or copy the files out of it",
    "chunker": "is cut into chunks by rclone: go on with rclone, or copy the files out of it",
    "union": "joins several remotes: mount each of them by itself",
    "combine": "joins several remotes: mount each of them by itself",
    "cache": "is rclone's cache in front of a remote: mount that remote",
    "hasher": "is rclone's cache of hashes in front of a remote: mount that remote",
}


@dataclass(frozen=True)
class Remote:
    """What a source means. `settings` may hold secrets."""

    name: str
    settings: Mapping[str, str] = field(repr=False)
    path: str


def resolve(source: str, config: str, environment: Mapping[str, str]) -> Remote:
    """The remote behind `remote:bucket/path`, `:s3:bucket` or an alias. Raises Refused.

    Args:
        source: as rclone takes it.
        config: the path of its configuration.
        environment: RCLONE_CONFIG_NAME_KEY may define remotes, too.
    """
    given: dict[str, str] = {}
    for _ in range(_ALIASES_MAX):
        name, own, path = _parts(source)
        given = own | given
        if name.startswith(":"):
            kind, settings = name[1:], dict[str, str]()
        else:
            settings = _section(name, config, environment)
            kind = settings.get("type", "")
        if kind == "s3":
            return Remote(name.lstrip(":"), settings | given, path)
        if kind != "alias":
            why = _WRAPPERS.get(kind, f"is of type {kind or 'none'}, not s3: only S3 can be mounted")
            raise Refused(f"the remote {name.lstrip(':')} {why}")
        base = settings.get("remote", "")
        source = "/".join(part for part in (base.rstrip("/"), path) if part) if path else base
    raise Refused(f"the remote of {source} is an alias of aliases without end")


def _parts(source: str) -> tuple[str, dict[str, str], str]:
    """`NAME[,key=value...]:PATH`; a name that begins with `:` is a type."""
    found = re.fullmatch(r"(:?[^:,]+)((?:,[^:=,]+(?:=(?:'[^']*'|\"[^\"]*\"|[^,:]*))?)*):(.*)", source, re.DOTALL)
    if found is None:
        raise Refused(f"{source} is not rclone's REMOTE:BUCKET/PATH")
    own = {}
    for each in re.findall(r",([^:=,]+)(?:=('[^']*'|\"[^\"]*\"|[^,]*))?", found[2]):
        own[each[0].strip()] = each[1].strip("'\"") or "true"
    return found[1], own, found[3].strip("/")


def _section(name: str, config: str, environment: Mapping[str, str]) -> dict[str, str]:
    start = f"RCLONE_CONFIG_{re.sub('[^A-Z0-9]', '_', name.upper())}_"
    own = {key.removeprefix(start).lower(): value for key, value in environment.items() if key.startswith(start)}
    if "type" in own:
        return own
    try:
        with Path(config).open("rb") as file:
            text = file.read(_FILE_BYTES_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise Refused(f"the remote {name} is unknown, as {config} can't be read: {reason}") from error
    if _ENCRYPTED in text:
        raise Refused(
            f"{config} is encrypted: `rclone config show > FILE`, then import with --config FILE in that line"
        )
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise Refused(f"{config} is not rclone's configuration") from error
    if name not in parser:
        raise Refused(f"{config} has no remote {name}")
    return dict(parser[name]) | own
