"""What commands print to a terminal, to a pipe and to nobody: colours, `--watch`, and the ends of both."""

import contextlib
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from mountctl import status_table, terminal
from mountctl.control.protocol import ReloadResult
from mountctl.status import State
from mountctl.status_table import Look
from mountctl.supervisor.events import Kind
from tests.unit.controlled import Supervisor, serving
from tests.unit.test_cli import MOUNTCTL, SECONDS_MAX
from tests.unit.test_status import NOW, mount, status

RED, GREEN = "\x1b[31m", "\x1b[32m"


class Terminal:
    """A program on a terminal."""

    def __init__(self, *command: str | Path, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        known = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=known | {"TERM": "xterm"} | environment
        )
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> str:
        """All that was shown up to this text; fails when the program ends before."""
        while text not in self.shown:
            try:
                self.shown += os.read(self._ours, 65536).decode()
            except OSError as error:  # EIO: nobody has the other side
                raise AssertionError(self.shown) from error
        before, _, self.shown = self.shown.partition(text)
        return before

    def rest(self) -> str:
        """All that is shown until the program ends."""
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65536):
                self.shown += data.decode()
        self.process.wait(SECONDS_MAX)
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextlib.contextmanager
def on_terminal(*command: str | Path, **environment: str) -> Iterator[Terminal]:
    it = Terminal(*command, **environment)
    try:
        yield it
    finally:
        it.close()


def going_on(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """The program, with pipes for what it prints."""
    return subprocess.Popen([MOUNTCTL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("state", "code"), [("ready", "32"), ("degraded", "33"), ("recovering", "33"), ("failed", "31"), ("held", "36")]
)
def test_a_state_has_its_colour_and_columns_stay_where_they_are(state: State, code: str) -> None:
    told = json.loads(status(mount("a", state=state, reason="why"), mount("b")).model_dump_json())
    plain = status_table.render(told, NOW)
    painted = status_table.render(told, NOW, Look(colour=True))

    assert f"\x1b[{code}m{state}" in painted
    assert f"\x1b[{code}m    why\x1b[0m" in painted
    without = painted
    for each in ("0", "1", "31", "32", "33", "36"):
        without = without.replace(f"\x1b[{each}m", "")
    assert without == plain


def test_a_wide_terminal_shows_what_a_narrow_one_cuts() -> None:
    told = json.loads(status(mount(source=f"s3://{'b' * 150}/")).model_dump_json())

    assert "..." in status_table.render(told, NOW)
    assert "b" * 150 in status_table.render(told, NOW, Look(columns=300))


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [
        ([], {}, True),
        (["--no-color"], {}, False),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_have_them_unless_somebody_wants_none(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], coloured: bool
) -> None:
    async def body(runtime_dir: Path, _supervisor: Supervisor) -> None:
        command = (MOUNTCTL, "status", "--runtime-dir", runtime_dir, *arguments)
        with on_terminal(*command, **environment) as shown:
            text = await trio.to_thread.run_sync(shown.rest)
        assert "one" in text
        assert (f"{GREEN}ready\x1b[0m: 2 mounts" in text) is coloured
        assert ("\x1b" in text) is coloured

    serving(tmp_path, body)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_watched_table_is_drawn_again_and_the_terminal_is_as_before_after_a_signal(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with on_terminal(MOUNTCTL, "status", "--watch", "--runtime-dir", runtime_dir) as shown:
            before = await trio.to_thread.run_sync(shown.until, f"{GREEN}ready\x1b[0m: 2 mounts")
            assert before.startswith("\x1b[?1049h\x1b[?25l\x1b[H")
            supervisor.state = "failed"
            supervisor.changes.tell()
            await trio.to_thread.run_sync(shown.until, f"{RED}failed\x1b[0m: 2 mounts")
            shown.process.send_signal(number)
            rest = await trio.to_thread.run_sync(shown.rest)
            assert "\x1b[?25h\x1b[?1049l" in rest
            assert "Traceback" not in rest
            assert shown.process.returncode == code

    serving(tmp_path, body)


def test_where_no_terminal_is_a_watch_prints_a_line_a_change(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with going_on("status", "--watch", "--runtime-dir", runtime_dir) as watch:
            assert watch.stdout is not None
            read = partial(trio.to_thread.run_sync, watch.stdout.readline)
            assert [(await read()).decode().split()[1:] for _ in range(2)] == [["one", "ready"], ["zwei", "ü", "ready"]]
            supervisor.gone.add("one")
            supervisor.state = "degraded"
            supervisor.changes.tell()
            assert [(await read()).decode().split()[1:] for _ in range(2)] == [
                ["zwei", "ü", "degraded"],
                ["one", "gone"],
            ]
            watch.terminate()

    serving(tmp_path, body)


def test_a_watch_as_json_is_a_status_a_line(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with going_on("status", "--watch", "--json", "--runtime-dir", runtime_dir) as watch:
            assert watch.stdout is not None
            read = partial(trio.to_thread.run_sync, watch.stdout.readline)
            assert json.loads(await read())["health"] == "ready"
            supervisor.state = "degraded"
            supervisor.changes.tell()
            assert json.loads(await read())["health"] == "degraded"
            watch.terminate()

    serving(tmp_path, body)


@pytest.mark.parametrize("command", [["status", "--watch"], ["events", "--follow"], ["logs", "one", "--follow"]])
def test_a_reader_that_goes_ends_what_goes_on_without_a_word(tmp_path: Path, command: list[str]) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.events.note(Kind.RELOAD, "x")
        supervisor.logs.of("one").add("x")
        with going_on(*command, "--runtime-dir", runtime_dir) as follow:
            assert follow.stdout is not None
            assert follow.stderr is not None
            await trio.to_thread.run_sync(follow.stdout.readline)
            follow.stdout.close()
            told = (await trio.to_thread.run_sync(follow.stderr.read)).decode()
            assert (await trio.to_thread.run_sync(follow.wait), "Traceback" in told) == (0, False)
            assert all("from the supervisor" in line for line in told.splitlines())

    serving(tmp_path, body)


@pytest.mark.parametrize("command", [["status", "--watch"], ["events", "--follow"], ["events"], ["logs", "one"]])
def test_without_a_supervisor_nothing_is_waited_for(tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run(
        [MOUNTCTL, *command, "--runtime-dir", tmp_path], capture_output=True, text=True, timeout=SECONDS_MAX
    )

    assert (done.returncode, done.stdout) == (4 if command[0] == "status" else 1, "")
    assert done.stderr.startswith("mountctl: no supervisor: ")
    assert done.stderr.count("\n") == 1


def test_what_does_not_fit_a_terminal_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mountctl.commands import status_watch

    written: list[str] = []
    monkeypatch.setattr(terminal, "write_now", written.append)
    monkeypatch.setattr(terminal, "size", lambda: (100, 6))
    told = json.loads(status(*(mount(f"m{number}") for number in range(20))).model_dump_json())
    status_watch._Screen(no_color=True, detail=False).show(told)

    [drawn] = written
    assert drawn.count("\n") == 5
    assert "... and 19 lines more than fit here" in drawn


def test_a_reason_neither_steers_the_terminal_nor_begins_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    from mountctl.commands import outcome, status_watch, wait

    mount = {"name": "m", "state": "backoff", "reason": "a\x1b[31m\nm2 ready"}

    status_watch._Changes().write({"mounts": [mount]})
    outcome.show(ReloadResult(ok=True, mounts={"m": mount["reason"]}), as_json=False)
    with pytest.raises(wait.WaitsInVain, match=r"m is failed: a\?\[31m\?m2 ready"):
        wait._hopeless({"m": mount | {"state": "failed"}}, ["ready"])

    watched, done = capfd.readouterr().out.splitlines()
    assert watched.endswith(" m backoff: a?[31m?m2 ready")
    assert done == "m: a?[31m?m2 ready"
