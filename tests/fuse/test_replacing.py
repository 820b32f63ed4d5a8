"""A new session in the place of one that is served: what programs see that look at the path all the while."""

import os
import subprocess
import sys
from typing import Final

import pytest

from engine.link import Ready
from engine.spec import MountSpec
from mountctl.supervisor import abilities
from mountctl.supervisor.session import Session
from tests.fuse.test_takeover import EXIT_SECONDS_MAX, Engine, Host, host

__all__ = ["host"]  # the fixture

REPLACEMENTS: Final = 3

# Opens a file by its path and reads it, over and over, until stdin is closed; prints what was not as it should be.
_READER: Final = """
import pathlib, select, sys
path = pathlib.Path(sys.argv[1], "d", "f7")
rounds = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        found = path.read_text()
    except OSError as error:
        print(error.errno)
    else:
        if found != "content 7":
            print("wrong", repr(found))
    rounds += 1
    if rounds == 20:
        print("going", flush=True)
print(rounds)
"""


@pytest.mark.parametrize("forced", ["", "no-beneath"])
def test_sessions_are_replaced_under_readers_that_open_by_path(
    host: Host, monkeypatch: pytest.MonkeyPatch, forced: str
) -> None:
    """Without a gap where the kernel can; else a reader may for a moment find no file, but never a wrong one."""
    monkeypatch.setenv(abilities.FORCE_VARIABLE, forced)
    abilities.beneath.cache_clear()
    host.attach()
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, host.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    ended = []
    try:
        assert reader.stdout.readline() == "going\n"
        for _ in range(REPLACEMENTS):
            old, host.session = host.session, Session.create(host.spec)
            Engine.expect(host.start(attached=True), Ready)
            host.session.replace(old)
            ended.append(old)
            old.close()
        reader.stdin.close()
        *said, rounds = reader.stdout.read().split()
        assert reader.wait(EXIT_SECONDS_MAX) == 0
    finally:
        host.force_unmount()
        reader.kill()
        reader.wait()
        reader.stdout.close()
        abilities.beneath.cache_clear()

    assert int(rounds) > 20
    if forced:
        assert set(said) <= {"2"}  # ENOENT, from the directory that is there without a mount
    else:
        assert said == []
    # The engines of those before have nothing more to do, and know it.
    assert [engine.end() for engine in host.engines[:-1]] == [0] * REPLACEMENTS


def test_a_file_that_is_open_on_a_replaced_session_is_read_on_by_its_engine(host: Host) -> None:
    first = host.attach()
    # In a process of its own: a fork of this one would hold the file open.
    script = "import sys; file = open(sys.argv[1]); print(file.read(3), flush=True); input(); print(file.read())"
    program = subprocess.Popen(
        [sys.executable, "-c", script, host.path / "d" / "f7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "con\n"

    old, host.session = host.session, Session.create(MountSpec.model_validate(host.spec))
    host.start(attached=True).expect(Ready)
    host.session.replace(old)

    assert os.listdir(host.path / "d")
    said, _ = program.communicate("\n", timeout=EXIT_SECONDS_MAX)
    assert said == "tent 7\n"
    old.close()
    assert first.end() == 0
