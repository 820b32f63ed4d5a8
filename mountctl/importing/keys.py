"""Where other programs keep access keys, and how they become profiles of an AWS credentials file.

Keys are read only to be written into that file (`--write-credentials`); none is ever printed or put into TOML. Called
by the programs' tables, which only say where keys are, and by commands/import_.py.
"""

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mountctl.errors import MountctlError

# Of s3fs's file with names: the two that it knows.
_NAMED: Final = {"awsaccesskeyid": "access", "awssecretkey": "secret", "awssessiontoken": "token"}
_FILE_BYTES_MAX: Final = 1024 * 1024


class NoKeys(MountctlError):
    """The keys can't be had from where they should be; the text says why, and shows none."""


@dataclass(frozen=True)
class Keys:
    """A pair of keys."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class KeySource:
    """A place where keys are.

    Args:
        told: where, for a person.
        path: a file of s3fs's; None: `given` has them.
        bucket: whose line of that file.
        given: keys that were read already, from a unit's environment or rclone's configuration.
    """

    told: str
    path: str | None = None
    bucket: str = ""
    given: Keys | None = None

    def read(self) -> Keys:
        """The keys. Raises NoKeys."""
        if self.given is not None:
            return self.given
        assert self.path is not None
        try:
            with Path(self.path).open("rb") as file:
                text = file.read(_FILE_BYTES_MAX).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise NoKeys(
                f"cannot read the keys in {self.path}: {getattr(error, 'strerror', None) or 'no text'}"
            ) from error
        found = passwd(text, self.bucket)
        if found is None:
            raise NoKeys(
                f"{self.path} has no keys for {self.bucket or 'this mount'}: ACCESS:SECRET or BUCKET:ACCESS:SECRET"
            )
        return found


def passwd(text: str, bucket: str) -> Keys | None:
    """The keys that a file of s3fs's has for a bucket: its own line, else the one for all."""
    own = common = None
    named: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(("#", "[")):
            continue
        name, is_named, value = line.partition("=")
        if is_named and name.strip().lower() in _NAMED:
            named[_NAMED[name.strip().lower()]] = value.strip()
            continue
        parts = line.split(":")
        if len(parts) == 2:
            common = Keys(parts[0], parts[1])
        elif len(parts) == 3 and parts[0] == bucket:
            own = Keys(parts[1], parts[2])
    if own is None and common is None and {"access", "secret"} <= named.keys():
        return Keys(named["access"], named["secret"], named.get("token"))
    return own or common


def of_environment(environment: Mapping[str, str], told: str) -> KeySource | None:
    """Keys in a program's environment; None if there are none."""
    access, secret = (environment.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not access or not secret:
        return None
    return KeySource(told, given=Keys(access, secret, environment.get("AWS_SESSION_TOKEN")))


def write(path: Path, profiles: Mapping[str, Keys]) -> list[str]:
    """Add profiles to a credentials file, which is made if it is not there; root's alone, 0600. Returns those added.

    What is in the file stays. Raises NoKeys if it has another profile of such a name, or can't be written.
    """
    try:
        before = path.read_text() if path.exists() else ""
        there = _parsed(before, path)
        new = {name: keys for name, keys in profiles.items() if name not in there}
        for name in profiles.keys() - new.keys():
            if not _is_same(there[name], profiles[name]):
                raise NoKeys(f"{path} has a profile {name} with other keys: rename or remove it")
        if not new:
            return []
        text = before.rstrip("\n") + "\n\n" if before.strip() else ""
        text += "\n".join(_section(name, keys) for name, keys in new.items())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, UnicodeDecodeError) as error:
        raise NoKeys(f"cannot write {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    return list(new)


def _parsed(text: str, path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise NoKeys(f"{path} is no file of AWS credentials: move it away, or name another") from error
    return parser


def _is_same(section: Mapping[str, str], keys: Keys) -> bool:
    found = [section.get(name) for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")]
    return found == [keys.access, keys.secret, keys.token]


def _section(name: str, keys: Keys) -> str:
    token = f"aws_session_token = {keys.token}\n" if keys.token else ""
    return f"[{name}]\naws_access_key_id = {keys.access}\naws_secret_access_key = {keys.secret}\n{token}"
