"""The sweep of what a dead engine had read, on the real kernel: an engine that reads and never answers is the test."""

import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trio

from engine.spec import MountSpec
from mountctl.supervisor import abilities, inflight, sweep
from mountctl.supervisor.session import Session

_READ_BYTES: Final = (1 << 20) + 4096
_WAIT_MS_MAX: Final = 10_000
_EXIT_SECONDS_MAX: Final = 30.0
INTERRUPTED: Final = b"Interrupted system call"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Attached and served by nobody, on a kernel that is taken for an old one."""
    monkeypatch.setenv(abilities.FORCE_VARIABLE, "no-resend")
    it = created(tmp_path)
    it.attach()
    yield it
    it.detach()
    it.close()


def created(tmp_path: Path) -> Session:
    return Session.create(MountSpec(name="m", bucket="some-bucket", mountpoint=str(tmp_path / "mnt")))


def asking(session: Session, name: str) -> "subprocess.Popen[bytes]":
    """A program whose request is there, unread."""
    program = subprocess.Popen(["stat", f"{session.mountpoint}/{name}"], stderr=subprocess.PIPE)
    poll = select.poll()
    poll.register(session.fuse_fd, select.POLLIN)
    assert poll.poll(_WAIT_MS_MAX)
    return program


def read(session: Session) -> int:
    """Read a request; its number."""
    unique: int = struct.unpack_from("<IIQ", os.read(session.fuse_fd, _READ_BYTES))[2]
    return unique


def told(program: "subprocess.Popen[bytes]") -> bytes:
    """How a program's request ended."""
    _, error = program.communicate(timeout=_EXIT_SECONDS_MAX)
    return error


def test_what_was_read_ends_with_eintr_and_the_newest_number_is_remembered(session: Session) -> None:
    programs, numbers = [], []
    for name in "abc":
        programs.append(asking(session, name))
        numbers.append(read(session))

    assert trio.run(inflight.settle, session)

    assert all(INTERRUPTED in told(program) for program in programs)
    assert session.swept > max(numbers)


def test_what_waits_to_be_read_is_left_to_the_successor_but_for_one(session: Session) -> None:
    was_read = asking(session, "a")
    read(session)
    first, second = asking(session, "b"), asking(session, "c")

    assert trio.run(inflight.settle, session)

    assert INTERRUPTED in told(was_read)
    assert INTERRUPTED in told(first)  # it was taken for its number
    assert session.unread()
    assert second.poll() is None
    session.detach()
    session.close()
    assert INTERRUPTED not in told(second)


def test_numbers_up_to_the_last_sweep_are_not_swept_again(session: Session) -> None:
    older, newer = asking(session, "a"), None
    floor = read(session)
    newer = asking(session, "b")
    first = read(session)

    assert sweep.sweep(session.fuse_fd, first, floor) == 1

    assert INTERRUPTED in told(newer)
    assert older.poll() is None
    assert sweep.sweep(session.fuse_fd, floor, 0) == 1
    assert INTERRUPTED in told(older)


def test_a_session_that_gives_no_number_can_not_be_swept(tmp_path: Path) -> None:
    script = "from mountctl.supervisor import sweep; sweep._REQUEST_MS_MAX = 100; exit(sweep.main(%d, '/proc', 0))"
    session = created(tmp_path)  # attached nowhere, so nobody can ask it: whoever looks at all mounts would

    done = subprocess.run(
        [sys.executable, "-c", script % session.fuse_fd], pass_fds=[session.fuse_fd], stdout=subprocess.PIPE
    )

    session.close()
    assert done.returncode == 1  # what was asked lies elsewhere
    assert done.stdout == b""
