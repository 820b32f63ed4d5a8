"""The commands as the command line itself knows them: for docs/manuals.py, and as a page, for docs/generate.py."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from mountctl import parser

_INTRODUCTION: Final = """\
# Command line

{generated}

`mountctl [OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]`. What `mountctl COMMAND --help` says, and `man mountctl`. More about
those that ask a supervisor, and exit codes: [commands.md](commands.md).

| command | does |
|---|---|"""

_COMMON: Final = """
## Options of every command

Before or behind its name; `--version` alone.

| option | meaning |
|---|---|"""


class Option(NamedTuple):
    """An option or an argument: how it is written, what it means."""

    term: str
    meaning: str


class Command(NamedTuple):
    """A command.

    Args:
        name: with its group's: `config show`.
        usage: what follows the name.
        meaning: its help.
        options: its arguments and options, without those of every command.
    """

    name: str
    usage: str
    meaning: str
    options: tuple[Option, ...]


class Program(NamedTuple):
    """All of it; `options` are those of every command."""

    meaning: str
    options: tuple[Option, ...]
    commands: tuple[Command, ...]


def program() -> Program:
    """What there is, as registered. A new command or option needs nothing here."""
    top = parser.program(mount_in_full=True)
    context = top.make_context("mountctl", [], resilient_parsing=True)
    common = frozenset(param.name for param in top.params)
    return Program(top.help, tuple(_options(top, context)), tuple(_commands(top, context, common)))


def page(generated: str) -> str:
    """docs/reference/command-line.md; `generated` is the line that says so."""
    all_of_it = program()
    lines = [_INTRODUCTION.format(generated=generated)]
    lines += [f"| [`{each.name}`](#{_anchor(each.name)}) | {_cell(each.meaning)} |" for each in all_of_it.commands]
    lines += [_COMMON, *_rows(all_of_it.options)]
    for each in all_of_it.commands:
        lines += ["", f"## `{each.name}`", "", f"`mountctl {each.name} {each.usage}`", "", each.meaning]
        if each.options:
            lines += ["", "| option | meaning |", "|---|---|", *_rows(each.options)]
    return "\n".join([*lines, ""])


def _rows(options: tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        term = option.term.replace("|", r"\|")
        yield f"| `{term}` | {_cell(option.meaning)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _commands(group: Any, context: Any, common: frozenset[str]) -> Iterator[Command]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        inside = type(context)(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from (each._replace(name=f"{name} {each.name}") for each in _commands(command, inside, common))
        else:
            options = tuple(_options(command, inside, leave_out=common))
            yield Command(name, _usage(command), (command.help or "").strip(), options)


def _usage(command: Any) -> str:
    arguments = [_argument(param) for param in command.params if param.param_type_name == "argument"]
    return " ".join(["[OPTIONS]", *arguments])


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _options(command: Any, context: Any, leave_out: frozenset[str] = frozenset()) -> Iterator[Option]:
    for param in command.params:
        record = param.get_help_record(context)
        if record and param.name not in leave_out:
            yield Option(_argument(param) if param.param_type_name == "argument" else record[0], record[1])
