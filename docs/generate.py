"""Writes the pages that are made from code: configuration.md from the models, command-line.md from the command line
(docs/command_line.py), errors.md from the errors of the engine and of commands,
metrics.md (docs/metrics.py), mount-s3-options.md (docs/mount_s3_options.py), status.md and events.md
(docs/supervisor_pages.py), log-messages.md and systemd/mountctl.catalog (docs/log_messages.py); troubleshooting.md from
doctor's checks (docs/troubleshooting.py); config/mountpoint-s3.schema.json; and packaging/mountpoint-s3.toml
(docs/sample.py).

Run as `python -m docs.generate`, by `make format`; with `--check`, by `make check`, it writes nothing and fails if a
page is not what the code says. Never edits a page written by hand.
"""

import errno
import inspect
import logging
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs import command_line, log_messages, metrics, mount_s3_options, sample, supervisor_pages, troubleshooting
from engine.errors import EngineError
from engine.spec import TTL_MAX_SECONDS, MountSpec
from mountctl.commands import schema
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS, UNSUPPORTED_SUPERVISOR_OPTIONS, CsiSpec, SupervisorSpec
from mountctl.config.read import DROP_INS_MAX, FILE_BYTES_MAX
from mountctl.config.words import fields, limits, wanted
from mountctl.errors import MountctlError

REFERENCE: Final = Path(__file__).parent / "reference"
GUIDES: Final = Path(__file__).parent / "guides"
SCHEMA: Final = Path(__file__).parent.parent / "config" / "mountpoint-s3.schema.json"
CATALOG: Final = Path(__file__).parent.parent / "systemd" / "mountctl.catalog"
SAMPLE: Final = Path(__file__).parent.parent / "packaging" / "mountpoint-s3.toml"

# Rules of validators, which have no form that a program could read.
RULES: Final = {
    "bucket": "3 to 255 letters, digits, `.`, `-` and `_`; or an ARN",
    "bind": "names of interfaces, of at most 15 bytes",
    "ca-bundle": "absolute",
    "environment": "the names of [credentials.md](credentials.md)",
    "log-directory": "absolute; not with `no-log`",
    "log-format": "needs `log-directory`",
    "no-log": "not with `log-directory`, `log-metrics`, `debug`, `debug-crt`",
    "dual-stack": "not with `endpoint-url`",
    "transfer-acceleration": "not with `endpoint-url`, `force-path-style`",
    "mountpoint": "absolute, without `..`, at most 4095 bytes; not another mount's, nor inside it",
    "prefix": "ends in `/`, does not start with it",
    "endpoint-url": "no path, no user",
    "metadata-ttl": f"0 to {TTL_MAX_SECONDS} seconds",
    "negative-metadata-ttl": f"0 to {TTL_MAX_SECONDS} seconds",
    "dir-mode": "at most 0777",
    "file-mode": "at most 0777",
    "expected-bucket-owner": "printable ASCII",
    "user-agent-prefix": "printable ASCII",
    "storage-class": "printable ASCII",
    "sse-kms-key-id": "an ARN of a key; with `sse`, not `AES256`",
    "part-size": "not with `read-part-size`, `write-part-size`",
    "slice": "a slice of systemd, and not the root",
    "region": "not empty",
    "profile": "not empty",
    "control-group": "not empty",
    "target-directory": "absolute",
    "inline-buckets": "letters, digits, `.`, `-`, `_`, `:`, `/`, `*` and `?`",
    "metrics-listen": "an IP address or `localhost`, and a port",
    "price-currency": "not empty",
}

_GENERATED: Final = "<!-- Made by `python -m docs.generate` from the code: change it there. -->"

_INTRODUCTION: Final = f"""\
# Configuration

{_GENERATED}

One TOML file, `/etc/mountpoint-s3.toml` unless `--config` or `MOUNTCTL_CONFIG` names another. Examples:
[config/examples](../../config/examples). `mountctl check` tells every error in it as `FILE:LINE:COLUMN: KEY: REASON`,
and touches nothing.

How the file is put together (references to variables and files, defaults, templates, drop-ins, whose value counts) and
what tools tell of it: [file.md](file.md).

* `[mount.NAME]` is a mount. Its name is the table's; one with a dot is quoted: `[mount."a.b"]`. A name has 1 to 63
  letters, digits, `.`, `-` and `_`, and starts with a letter or digit.
* `[defaults]` gives any option but `mountpoint` to all mounts; a mount's own key wins.
* `[template.NAME]` has options under a name, any but `mountpoint`; mounts that say `use = "NAME"` have them.
* `[supervisor]` is about the supervisor itself, `[csi]` about volumes that an orchestrator asks for.

**Drop-ins.** `FILE.d/*.toml` beside the file (its name without `.toml`: `/etc/mountpoint-s3.d/*.toml`) are merged into
it in the order of their names, key by key in each table; the later key wins. Hidden files are passed by. A file has at
most {FILE_BYTES_MAX // 1024} KiB, a directory at most {DROP_INS_MAX} drop-ins.

A file without mounts is right: a supervisor that waits for its first one.
"""

_ERRORS_INTRODUCTION: Final = f"""\
# Errors

{_GENERATED}

## What programs on a mount see

What programs see (errno) when something fails in a mount, and at which level the engine logs it. An indented error is a
kind of the one above it.

| error | errno | level | meaning |
|---|---|---|---|"""

_COMMANDS_ERRORS_INTRODUCTION: Final = """
## What ends a command

One sentence on stderr, and an exit code; others are those of each command ([commands.md](commands.md)).

| error | exit code | meaning |
|---|---|---|"""


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` compare them. Returns the exit code: 1 if one is stale, 2 for bad usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m docs.generate [--check]\n")
        return 2
    try:
        pages = all_pages()
    except LookupError as error:
        sys.stderr.write(f"docs.generate: {error.args[0]}\n")
        return 1
    if arguments:
        return check(pages)
    REFERENCE.mkdir(exist_ok=True)
    for path, text in pages.items():
        path.write_text(text)
    return 0


def all_pages() -> dict[Path, str]:
    """Every page by its place. Raises LookupError if something has no meaning, or has one and is not there."""
    return {
        REFERENCE / "configuration.md": configuration(),
        REFERENCE / "command-line.md": command_line.page(_GENERATED),
        REFERENCE / "errors.md": errors(),
        REFERENCE / "mount-s3-options.md": mount_s3_options.page(_GENERATED),
        REFERENCE / "status.md": supervisor_pages.status(_GENERATED),
        REFERENCE / "events.md": supervisor_pages.events(_GENERATED),
        REFERENCE / "log-messages.md": log_messages.page(_GENERATED),
        CATALOG: log_messages.catalog(),
        GUIDES / "troubleshooting.md": troubleshooting.page(_GENERATED),
        REFERENCE / "metrics.md": metrics.page(_GENERATED),
        SCHEMA: schema.text(),
        SAMPLE: sample.text(),
    }


def check(pages: dict[Path, str]) -> int:
    """Name every page that is not what it should be, on stderr. Returns the exit code."""
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        sys.stderr.write(f"{path}: stale, run `python -m docs.generate`\n")
    return 1 if stale else 0


def configuration() -> str:
    """The page about the configuration file."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## `[mount.NAME]`, `[template.NAME]` and `[defaults]`\n",
            *_table(MountSpec, leave_out={"name"}),
            "\nFor `[mount.NAME]` alone: `use`, the name of a template or an array of names, of which the last wins.",
            "\n## `[supervisor]`\n",
            *_table(SupervisorSpec),
            "\n## `[csi]`\n",
            "What volumes are: [volumes.md](../concepts/volumes.md).\n",
            *_table(CsiSpec),
            "\n## Options of Mountpoint that are refused\n",
            "They are refused by name, so that none is missed in silence.\n",
            *_refused(),
            "",
        ]
    )


def errors() -> str:
    """The page about errors: of the engine, and of commands."""
    commands = [_COMMANDS_ERRORS_INTRODUCTION, *_command_error_rows(MountctlError, 0)]
    return "\n".join([_ERRORS_INTRODUCTION, *_error_rows(EngineError, 0), *commands, ""])


def _table(model: type[BaseModel], *, leave_out: Collection[str] = ()) -> Iterator[str]:
    yield "| key | value | default | limits | meaning |"
    yield "|---|---|---|---|---|"
    for key, field in fields(model).items():
        if key not in leave_out:
            yield f"| `{key}` | {wanted(field)} | {_default(field)} | {_limits(key, field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if value in (None, ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if "octal" in wanted(field):
        return f'`"{value:04o}"`'
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _limits(key: str, field: FieldInfo) -> str:
    if between := limits(field):
        return f"{between[0]} to {between[1]}"
    return rule_of(key, field)


def rule_of(key: str, field: FieldInfo) -> str:
    """The rule of an option; [supervisor] has a `log-format` of its own, which may be `journal` and needs nothing."""
    return "" if "journal" in wanted(field) else RULES.get(key, "")


def _refused() -> Iterator[str]:
    yield "| key | why |"
    yield "|---|---|"
    for key, why in sorted(UNSUPPORTED_MOUNT_OPTIONS.items()):
        yield f"| `{key}` | {why.removesuffix(': remove it')} |"
    for key, why in sorted(UNSUPPORTED_SUPERVISOR_OPTIONS.items()):
        yield f"| `{key}` in `[supervisor]` | {why.removesuffix(': remove it')} |"


def _error_rows(error: type[EngineError], depth: int) -> Iterator[str]:
    level = logging.getLevelName(error.level).lower()
    yield f"| {'&emsp;' * depth}`{error.__name__}` | {errno.errorcode[error.errno]} | {level} | {_meaning(error)} |"
    for kind in (kind for kind in error.__subclasses__() if kind.__module__ == EngineError.__module__):
        yield from _error_rows(kind, depth + 1)


def _command_error_rows(error: type[MountctlError], depth: int) -> Iterator[str]:
    yield f"| {'&emsp;' * depth}`{error.__name__}` | {error.exit_code} | {_meaning(error)} |"
    for kind in (kind for kind in error.__subclasses__() if kind.__module__ == MountctlError.__module__):
        yield from _command_error_rows(kind, depth + 1)


def _meaning(error: type[Exception]) -> str:
    return " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
