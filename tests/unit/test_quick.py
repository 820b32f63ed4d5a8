"""`status` without the parser: it is recognised as the parser understands it, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mountctl import cli, parser
from mountctl.commands import status as body
from mountctl.quick import StatusAsked, status_asked


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--json"],
        ["status", "a", "b"],
        ["status", "a", "--json", "b"],
        ["--runtime-dir", "/x", "status"],
        ["status", "--runtime-dir", "/x", "a"],
        ["--runtime-dir", "/x", "status", "--runtime-dir", "/y"],
        ["--config", "/c", "--state-dir", "status", "status", "--config", "/d"],
        ["status", "status"],
        ["status", "mount"],
        ["status", "--no-color", "a"],
        ["status", "--alive", "--runtime-dir", "/x"],
    ],
)
def test_it_is_asked_what_the_parser_would_ask(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    calls: list[Any] = []

    def noted(runtime_dir: Path, names: list[str], *, as_json: bool, no_color: bool, alive: bool) -> int:
        calls.append((runtime_dir, list(names), as_json, no_color, alive))
        return 0

    monkeypatch.setattr(body, "status", noted)
    assert CliRunner().invoke(parser.app, arguments).exit_code == 0
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert status_asked(arguments) is not None
    [by_parser, quickly] = calls
    assert quickly == by_parser


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["status", "--help"],
        ["status", "-h"],
        ["--help", "status"],
        ["--version", "status"],
        ["status", "--jsno"],
        ["status", "--watch"],
        ["status", "--"],
        ["status", ""],
        ["status", "--runtime-dir"],
        ["status", "--runtime-dir="],
        ["status", "--runtime-dir", ""],
        ["status", "--runtime-dir", "--json"],
        ["--runtime-dir", "status"],
        ["reload"],
        ["mount", "status"],
    ],
)
def test_what_is_no_plain_status_is_left_to_the_parser(arguments: list[str]) -> None:
    assert status_asked(arguments) is None


def test_the_environment_counts_where_no_directory_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(body, "status", lambda runtime_dir, _names, **_: calls.append(runtime_dir) or 0)
    monkeypatch.setenv("MOUNTCTL_RUNTIME_DIR", "/from/environment")
    for arguments in (["status"], ["status", "--runtime-dir", "/given"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
    assert calls == [Path("/from/environment"), Path("/given")]


def test_the_options_of_every_command_are_those_that_have_a_value() -> None:
    assert status_asked(["status", "--json", "a"]) == StatusAsked(None, ("a",), as_json=True)
    command = parser.program().commands["status"]
    flags = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
    known = {"--runtime-dir", "--config", "--state-dir", "--json", "--no-color", "--alive"}
    assert known <= flags
