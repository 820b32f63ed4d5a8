"""Manual pages, made of the command line, the configuration's models and docs/reference/fstab.md.

Written by `python -m docs.manuals DIR`, which packaging/package.py calls. A new command or option needs nothing here.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import engine
from docs import command_line
from docs.generate import REFERENCE, rule_of
from engine.spec import MountSpec
from mountctl.config.model import SupervisorSpec
from mountctl.config.words import fields, limits, wanted

_FILES: Final = {
    "/etc/mountpoint-s3.toml, /etc/mountpoint-s3.d/*.toml": "The configuration: see mountpoint-s3.toml(5).",
    "/run/mountctl/control.sock": "Where commands ask the supervisor.",
    "/run/mountctl-mounts/NAME": "Of a mount that has a supervisor of its own.",
    "/var/lib/mountctl": "What is noted for later runs: mounts, uploads, holds, the last good configuration.",
}
_EXIT_CODES: Final = {
    "0": "Done.",
    "1": "Failed: no supervisor, no such mount, refused, not all mounts as they should be.",
    "2": "Wrong usage, or a configuration with errors; plan: there are changes.",
    "3, 4": "status: degraded; nothing is served, or no supervisor answers. wait: 4, it would be in vain.",
    "124": "wait: not in time.",
    "130": "Interrupted.",
}


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    return {
        "mountctl.1": "\n".join([*_mountctl(), ""]),
        "mountpoint-s3.toml.5": "\n".join([*_configuration(), ""]),
        "mount.mountctl.8": "\n".join([*_helper((REFERENCE / "fstab.md").read_text()), ""]),
    }


def _mountctl() -> Iterator[str]:
    program = command_line.program()
    yield from _head("mountctl", 1, "mounts S3 buckets as one file declares them, and keeps them mounted")
    yield from (".SH SYNOPSIS", r"\fBmountctl\fR [\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    yield from (".SH DESCRIPTION", escaped(program.meaning), ".PP")
    yield "Every command takes the options of places, behind its name or in front of it, and tells of itself with"
    yield "--help. What is asked for goes to stdout, everything else to stderr."
    yield from (".SH OPTIONS", *_terms(dict(program.options)), ".SH COMMANDS")
    for command in program.commands:
        yield from (f".SS {escaped(command.name)} {escaped(command.usage)}", escaped(command.meaning))
        yield from _terms(dict(command.options))
    yield from (".SH EXIT STATUS", *_terms(_EXIT_CODES))
    yield from (".SH FILES", *_terms(_FILES))
    yield from (".SH SEE ALSO", ".BR mountpoint-s3.toml (5),", ".BR mount.mountctl (8),", ".BR systemd.mount (5)")


def _configuration() -> Iterator[str]:
    yield from _head("mountpoint-s3.toml", 5, "which S3 buckets are mounted where")
    yield from (".SH DESCRIPTION", "One TOML file,", r".IR /etc/mountpoint\-s3.toml ,")
    yield "and what /etc/mountpoint\\-s3.d/*.toml changes in it, in the order of names."
    yield from (
        ".PP",
        ".EX",
        r"[mount.datasets]",
        r'bucket = "my\-bucket"',
        r'mountpoint = "/mnt/datasets"',
        ".EE",
        ".PP",
    )
    yield "[mount.NAME] is a mount; [defaults] gives any option but mountpoint to all; [template.NAME] has options for"
    yield 'mounts that say use = "NAME"; [supervisor] is about the supervisor itself. ${env:NAME} and ${file:PATH} in a'
    yield "value stand for an environment variable and a file's text. mountctl check tells every error in it."
    yield from (".SH OPTIONS OF A MOUNT", *_keys(MountSpec, frozenset({"name"})))
    yield from (".SH OPTIONS OF THE SUPERVISOR", *_keys(SupervisorSpec, frozenset()))
    yield from (".SH SEE ALSO", ".BR mountctl (1),", ".BR mount.mountctl (8)")


def _keys(model: Any, leave_out: frozenset[str]) -> Iterator[str]:
    for key, field in fields(model).items():
        if key in leave_out:
            continue
        between = limits(field)
        rule = f"{between[0]} to {between[1]}" if between else rule_of(key, field)
        default = "" if field.is_required() or field.default in (None, (), "") else f"default {_toml(field)}"
        facts = "; ".join(filter(None, [wanted(field), rule, "must be given" if field.is_required() else default]))
        yield from _terms({key: f"{_plain(field.description)} ({_plain(facts)})"})


def _toml(field: Any) -> str:
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return f'"{field.default:04o}"' if "octal" in wanted(field) else str(field.default)


def _helper(markdown: str) -> Iterator[str]:
    """The page about fstab: paragraphs and blocks of code, as docs/reference/fstab.md has them."""
    yield from _head("mount.mountctl", 8, "mounts an S3 bucket for a line of fstab")
    yield from (".SH SYNOPSIS", ".B mount.mountctl", r"\fISOURCE DIR\fR [\fB\-sfnv\fR] [\fB\-o\fR \fIOPTIONS\fR]")
    yield ".SH DESCRIPTION"
    for part in re.split(r"\n{2,}", markdown.split("\n", 1)[1].strip()):
        if part.startswith("```"):
            yield from (".PP", ".EX", *map(escaped, part.strip("`\n").splitlines()), ".EE")
        else:
            yield from (".PP", escaped(_plain(part)))
    yield from (".SH SEE ALSO", ".BR mountctl (1),", ".BR mountpoint-s3.toml (5),", ".BR fstab (5),", ".BR mount (8)")


def _head(name: str, section: int, what: str) -> Iterator[str]:
    yield f'.TH {name.upper()} {section} "" "mountctl {engine.__version__}" ""'
    yield from (".SH NAME", rf"{escaped(name)} \- {what}")


def _terms(told: dict[str, str]) -> Iterator[str]:
    for term, text in told.items():
        yield from (".TP", rf"\fB{escaped(term)}\fR", escaped(text) or r"\&")


def _plain(markdown: str | None) -> str:
    """Without the marks of Markdown."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", markdown or "").replace("**", "").replace("`", "")


def escaped(text: str | None) -> str:
    """As roff shows it as it is: nothing is a request or an escape."""
    text = (
        (text or "")
        .replace("\\", r"\e")
        .replace("-", r"\-")
        .replace("`", r"\(ga")
        .replace("^", r"\(ha")
        .replace("~", r"\(ti")
    )
    lines = (line.strip() for line in text.strip().splitlines())
    return "\n".join(rf"\&{line}" if line[:1] in (".", "'") else line for line in lines if line)


def main(directory: Path) -> None:
    """Write all pages."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
