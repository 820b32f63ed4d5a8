"""`mountctl mount s3://BUCKET/PREFIX DIR [options]`: one mount, without a file. Called by cli.py.

The options are MountSpec's fields, so that a new one is there at once, under its one name.
"""

import inspect
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from engine.spec import Mode, MountSpec, kebab
from mountctl.config import words
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS
from mountctl.errors import MountctlError

_SCHEME: Final = "s3://"
# Not options: the name comes from the mountpoint; these two are the arguments.
_ARGUMENTS: Final = {"name", "bucket", "mountpoint"}
_NAME_CHARACTERS_MAX: Final = 63
# As a shell's user means them: from where the shell is.
_PATHS: Final = ("ca_bundle", "log_directory")
_LETTERS: Final = {"debug": "-d", "log_directory": "-l"}
# The command does what it asks for already; of a mount it says nothing.
_FOREGROUND: Final = "foreground"
_FOREGROUND_OPTION: Final = typer.Option(
    "--foreground", "-f", help="Stay in the foreground, as this command does without it, too (but for -o)."
)
_FSTAB_OPTION: Final = typer.Option(
    "-o", metavar="OPTIONS", show_default=False, help="As in fstab: `ro,allow-other,...`; returns once it is mounted."
)


class InvalidOptions(MountctlError):
    """The options of `mount` do not make a mount; one line each."""

    exit_code = 2


def parameters() -> list[inspect.Parameter]:
    """The command's arguments and options, for cli.py."""
    source = typer.Argument(metavar="s3://BUCKET/PREFIX", help="The bucket, and the prefix, which ends in `/`.")
    directory = typer.Argument(metavar="DIR", help="Where to mount it. A missing directory is made.")
    fields = {name: field for name, field in MountSpec.model_fields.items() if name not in _ARGUMENTS}
    return [
        _parameter("source", Annotated[str, source], inspect.Parameter.empty),
        _parameter("directory", Annotated[str, directory], inspect.Parameter.empty),
        *[_option(name, field) for name, field in fields.items()],
        _parameter(_FOREGROUND, Annotated[bool, _FOREGROUND_OPTION], default=False),
        _parameter("fstab", Annotated[str | None, _FSTAB_OPTION], None),
    ]


def refuse_unsupported(arguments: Sequence[str]) -> None:
    """Raise InvalidOptions for an option of Mountpoint that is deliberately not here, with the reason why."""
    for argument in arguments:
        key = argument.removeprefix("--").partition("=")[0]
        if argument.startswith("--") and key in UNSUPPORTED_MOUNT_OPTIONS and key != _FOREGROUND:
            raise InvalidOptions(f"--{key}: {UNSUPPORTED_MOUNT_OPTIONS[key]}")


def spec_from(source: str, directory: str, *, dashes: str = "--", **options: Any) -> MountSpec:
    """The mount that a command line, or with no dashes a line of fstab, describes. Raises InvalidOptions."""
    options.pop(_FOREGROUND, None)
    for about, value in (("the source", source), ("DIR", directory), *options.items()):
        if any(map(_is_no_text, value if isinstance(value, (list, tuple)) else (value,))):
            option = f"{dashes}{kebab(about)}" if about in options else about
            raise InvalidOptions(f"{option}: has bytes that are no UTF-8, which a mount can't have")
    given = {name: _value(name, value) for name, value in options.items() if value not in (None, False, (), [])}
    bucket = source
    if source.startswith(("/", ".")):
        raise InvalidOptions(f"{source}: is no bucket: the bucket comes first, the directory behind it")
    if source.startswith(f"{_SCHEME}arn:"):
        raise InvalidOptions(f"{source}: ARNs have no {_SCHEME} in front; the prefix is an option")
    if source.startswith(_SCHEME):
        if "prefix" in given:
            raise InvalidOptions(f"{dashes}prefix: not together with an {_SCHEME} URL, which has the prefix in it")
        bucket, _, given["prefix"] = source.removeprefix(_SCHEME).partition("/")
    mountpoint = os.path.abspath(directory)
    try:
        return MountSpec(name=name_of(mountpoint), bucket=bucket, mountpoint=mountpoint, **given)
    except ValidationError as error:
        raise InvalidOptions(_reasons(error, source, dashes)) from error


def mount(spec: MountSpec, runtime_dir: Path, state_dir: Path) -> int:
    """Mount and serve until SIGTERM or SIGINT. Returns the exit code; raises MountctlError when it can't."""
    from mountctl import daemon

    return daemon.run_one(spec, runtime_dir, state_dir)


def name_of(mountpoint: str) -> str:
    """A mount's name made of its mountpoint: /mnt/my data is mnt-my_data.

    A name has no other letters than ASCII's, and few of them: what is longer, or has others, gets a checksum behind it,
    so that each mountpoint has a name of its own.
    """
    plain = re.sub(r"[^0-9a-zA-Z\-._]", "_", mountpoint.strip("/").replace("/", "-")).lstrip("-._")
    if mountpoint.isascii() and len(plain) <= _NAME_CHARACTERS_MAX:
        return plain or "mount"
    checksum = f"{zlib.crc32(mountpoint.encode(errors='surrogateescape')):08x}"
    return f"{plain[-(_NAME_CHARACTERS_MAX - len(checksum) - 1) :].lstrip('-._') or 'mount'}-{checksum}"


def _is_no_text(value: object) -> bool:
    """Whether it was given as bytes that are none."""
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    flags = [f"--{kebab(name)}", *([_LETTERS[name]] if name in _LETTERS else [])]
    if field.annotation is bool:
        return _parameter(name, Annotated[bool, typer.Option(*flags, help=field.description)], default=False)
    shown = f"0{field.default:o}" if _is_mode(field) else field.default
    help_ = f"{field.description} [default: {shown}]" if shown not in (None, "") else field.description
    if isinstance(field.default, tuple):
        text = f"{field.description} May be repeated."
        repeated = typer.Option(*flags, help=text, metavar="TEXT", show_default=False)
        return _parameter(name, Annotated[list[str] | None, repeated], None)
    kind = "OCTAL" if _is_mode(field) else "NUMBER" if field.annotation is int else "TEXT"
    option = typer.Option(*flags, help=help_, metavar=kind, show_default=False)
    return _parameter(name, Annotated[str | None, option], None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _is_mode(field: FieldInfo) -> bool:
    return any(each in get_args(Mode) for each in field.metadata)


def _takes_number(field: FieldInfo) -> bool:
    kinds = [field.annotation]
    for kind in kinds:
        kinds.extend(get_args(kind))
    return int in kinds


def _value(name: str, value: Any) -> Any:
    """A number where the option takes one, a whole path for a file's. A mode stays text: its digits are octal."""
    field = MountSpec.model_fields[name]
    if name in _PATHS:
        return os.path.abspath(value)
    if isinstance(value, str) and _takes_number(field) and not _is_mode(field) and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return value


def _reasons(error: ValidationError, source: str, dashes: str) -> str:
    """One line for each mistake, each with the option it is about (the first line's `mountctl: ` is cli.py's)."""
    lines, known = [], words.fields(MountSpec)
    for each in error.errors(include_url=False):
        field = kebab(str(each["loc"][0])) if each["loc"] else ""
        reason = words.reason(each, field, known[field]) if field else str(each["ctx"]["error"])
        from_source = field == "bucket" or (field == "prefix" and source.startswith(_SCHEME))
        if from_source and field == "prefix":
            reason = f"prefix {reason}"
        about = source if from_source else "DIR" if field == "mountpoint" else f"{dashes}{field}" if field else ""
        lines.append(f"{about}: {reason}" if about else reason)
    return "\nmountctl: ".join(dict.fromkeys(lines))
