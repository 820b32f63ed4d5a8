"""Access keys as a Kubernetes Secret has them, given or mounted, to a file as the AWS SDKs read it.

Pure, but for `mounted`. No error shows a value.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# Of each key, how people and other drivers spell it; the first that is there counts.
_ACCESS_KEY: Final = ("key_id", "AWS_ACCESS_KEY_ID", "aws_access_key_id", "accessKeyID", "access_key_id")
_SECRET_KEY: Final = (
    "access_key",
    "AWS_SECRET_ACCESS_KEY",
    "aws_secret_access_key",
    "secretAccessKey",
    "secret_access_key",
)
_TOKEN: Final = ("session_token", "AWS_SESSION_TOKEN", "aws_session_token", "sessionToken")
# The file that the SDKs read them from, in a directory of its own.
FILE: Final = "credentials"
_NAMES: Final = (*_ACCESS_KEY, *_SECRET_KEY, *_TOKEN)
# An access key has 20 characters, a secret 40, a session token some hundred to a few thousand.
_CHARS_MAX: Final = 16 * 1024
# Of one file of a mounted Secret.
_BYTES_MAX: Final = 64 * 1024


class NoKeys(ValueError):
    """There are no keys that could be used. The text says what is missing or wrong."""


@dataclass(frozen=True)
class Keys:
    """Access keys, none of which is ever shown."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)

    def profile(self) -> str:
        """A credentials file that has them as its default profile."""
        lines = ["[default]", f"aws_access_key_id = {self.access_key}", f"aws_secret_access_key = {self.secret_key}"]
        if self.token:
            lines.append(f"aws_session_token = {self.token}")
        return "\n".join([*lines, ""])


def found_in(secret: Mapping[str, str]) -> Keys:
    """The keys of a Secret. Raises NoKeys."""
    access_key, secret_key = _one(secret, _ACCESS_KEY), _one(secret, _SECRET_KEY)
    lacking = [names[0] for names, value in ((_ACCESS_KEY, access_key), (_SECRET_KEY, secret_key)) if not value]
    if lacking:
        spelt = f"{_ACCESS_KEY[0]} and {_SECRET_KEY[0]} (or {_ACCESS_KEY[1]} and {_SECRET_KEY[1]})"
        raise NoKeys(f"{' and '.join(lacking)} missing: it needs the keys {spelt}")
    return Keys(access_key, secret_key, _one(secret, _TOKEN))


def mounted(directory: Path) -> dict[str, str]:
    """What of a mounted Secret may be keys, of one moment: kubelet exchanges all its files at once, by a symlink.

    Raises OSError.
    """
    there = Path(os.path.realpath(directory / "..data"))
    secret = {}
    for name in _NAMES:
        try:
            with ((there if there.is_dir() else directory) / name).open("rb") as file:
                secret[name] = file.read(_BYTES_MAX).decode("utf-8", "replace")
        except FileNotFoundError:
            continue
    return secret


def _one(secret: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        value = secret.get(name, "").strip()  # `echo` leaves a newline behind, which is no part of any key
        if value:
            # A line break would begin another setting of the file; blanks and letters of other scripts are in no key.
            if not value.isascii() or not value.isprintable() or " " in value or len(value) > _CHARS_MAX:
                raise NoKeys(f"{name} has characters that no key has, or is longer than one")
            return value
    return ""
