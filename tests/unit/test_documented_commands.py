"""The commands that pages name exist, with the options that they are given; and each is on the generated page."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import command_line
from docs.command_line import Command

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PROGRAM = command_line.program()
COMMANDS = {command.name: command for command in PROGRAM.commands}
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}
# Where a command begins, in a span or in a line of a block, up to where the shell or the sentence has something else.
CALL = re.compile(r"(?:^|[;|&(=]|\$ |-- ) *(?:/usr/bin/)?mountctl ((?:[^`|;&#>\n]|\|(?=\w))+)", re.MULTILINE)
# Placeholders for what one fills in, as in usage lines.
PLACEHOLDERS = {"COMMAND", "NAME", "OPTIONS", "[OPTIONS]"}


def options(command: Command) -> set[str]:
    terms = [option.term for option in (*PROGRAM.options, *command.options)]
    return {"--help", "-h", *re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(terms))}


def code(markdown: str) -> Iterator[str]:
    """The blocks, and the spans in backticks."""
    yield from re.findall(r"^ *```\w*\n(.*?)^ *```", markdown, re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.MULTILINE | re.DOTALL))


def wrong(call: str) -> str | None:
    """What is wrong with the words behind `mountctl`; None: nothing."""
    words = [word.rstrip(",:") for word in re.sub(r"[][]|\.\.\.|'[^']*'?", " ", call).split()]
    name = " ".join(words[:2]) if words[0] in GROUPS else words[0]
    if words[0] in PLACEHOLDERS or words[0].startswith("--"):
        return None
    if name not in COMMANDS:
        return f"no command {name}"
    given = {re.split(r"[=|]", word)[0] for word in words if re.match(r"--?[a-z]", word)}
    unknown = given - options(COMMANDS[name])
    return f"{name} has no option {', '.join(sorted(unknown))}" if unknown else None


CALLS = [
    (str(page.relative_to(ROOT)), call.strip())
    for page in PAGES
    for block in code(page.read_text())
    for call in CALL.findall(block)
]


def test_the_pages_call_commands() -> None:
    assert len(CALLS) > 150


def test_every_command_that_a_page_calls_is_there_with_its_options() -> None:
    assert [(page, call, why) for page, call in CALLS if (why := wrong(call))] == []


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("statsu", "no command statsu"),
        ("config shwo", "no command config shwo"),
        ("status --jsno", "status has no option --jsno"),
        ("stop NAME... [--deadline S]", None),
        ("run --fd-holder=external", None),
    ],
)
def test_a_call_is_judged_by_the_command_line(call: str, told: str | None) -> None:
    assert wrong(call) == told


def test_the_page_has_every_command_and_every_option() -> None:
    page = command_line.page("made")
    assert len(COMMANDS) > 20
    for command in PROGRAM.commands:
        section = page.partition(f"\n## `{command.name}`\n")[2].partition("\n## ")[0]
        assert section.count("\n| `") == len(command.options)
        assert f"\n| [`{command.name}`](#" in page
