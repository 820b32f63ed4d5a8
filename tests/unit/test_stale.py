"""mountctl/supervisor/stale.py: a path that hangs is told from a machine that is too busy to ask."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mountctl.supervisor import stale

Asking = Callable[[str], None]


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Has the process that asks do something else; it is looked at every few milliseconds."""

    def behave(body: str) -> None:
        program = tmp_path / "bin" / "stat"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    monkeypatch.setattr(stale, "_PROBE_SECONDS", 0.02)
    return behave


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What was seen of it each time that it had not answered: whether it wants to run."""
    seen: list[bool] = []
    look = stale._wants_to_run
    monkeypatch.setattr(stale, "_wants_to_run", lambda pid: seen.append(look(pid)) or seen[-1])
    return seen


def test_who_asks_is_waited_for_while_it_gets_no_cpu(
    tmp_path: Path, asking: Asking, looks: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    asking(f"while [ ! -e {go} ]; do :; done")
    look = stale._wants_to_run

    def look_and_let_go(pid: int) -> bool:
        if len(looks) == 3:
            go.touch()
        return look(pid)

    monkeypatch.setattr(stale, "_wants_to_run", look_and_let_go)

    assert trio.run(stale.probe, "/") is stale.Answer.ANSWERS
    assert looks[:3] == [True] * 3


def test_who_answers_at_the_last_moment_has_answered(
    tmp_path: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    asking(f"while [ ! -e {go} ]; do :; done")
    look = stale._wants_to_run

    def look_when_it_has_ended(pid: int) -> bool:
        go.touch()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return look(pid)

    monkeypatch.setattr(stale, "_wants_to_run", look_when_it_has_ended)

    assert trio.run(stale.probe, "/") is stale.Answer.ANSWERS


def test_who_sleeps_over_it_hangs(asking: Asking, looks: list[bool]) -> None:
    asking("exec sleep 1000")
    assert trio.run(stale.probe, "/") is stale.Answer.SILENT
    assert looks[-1] is False


def test_who_gets_no_cpu_at_all_is_not_waited_for_without_an_end(
    asking: Asking, looks: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking("while :; do :; done")
    monkeypatch.setattr(stale, "STARVED_SECONDS", 0.1)

    assert trio.run(stale.probe, "/") is stale.Answer.SILENT
    assert all(looks)
