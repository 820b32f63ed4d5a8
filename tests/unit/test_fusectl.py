"""The kernel's own view of a connection, by fusectl on the real kernel."""

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spec import MountSpec
from mountctl.supervisor import fuse_init, fusectl, mountinfo
from mountctl.supervisor.session import Session

_EXIT_SECONDS_MAX = 30.0


@pytest.fixture
def connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """fusectl, mounted for this test only."""
    place = tmp_path / "connections"
    place.mkdir()
    subprocess.run(["mount", "-t", "fusectl", "fusectl", place], check=True)
    monkeypatch.setattr(fusectl, "CONNECTIONS", place)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Attached and served by nobody."""
    it = Session.create(MountSpec(name="m", bucket="some-bucket", mountpoint=str(tmp_path / "mnt")))
    it.attach()
    yield it
    it.detach()
    it.close()


def asking(session: Session) -> "subprocess.Popen[bytes]":
    """A program whose request nobody answers."""
    program = subprocess.Popen(["stat", f"{session.mountpoint}/x"], stderr=subprocess.PIPE)
    poll = select.poll()
    poll.register(session.fuse_fd, select.POLLIN)
    assert poll.poll(10_000)
    os.read(session.fuse_fd, (1 << 20) + 4096)
    return program


def told(program: "subprocess.Popen[bytes]") -> str:
    _, error = program.communicate(timeout=_EXIT_SECONDS_MAX)
    return error.decode()


def test_waiting_requests_are_counted_and_end_with_the_connection(connections: Path, session: Session) -> None:
    assert fusectl.waiting(session.minor) == 0
    program = asking(session)
    assert fusectl.waiting(session.minor) == 1

    session.abort(held=False)

    assert "abort" in told(program)
    assert session.alive()  # mounted still, and dead
    assert fusectl.waiting(session.minor) == 0
    session.detach()
    assert fusectl.waiting(session.minor) is None


def test_without_fusectl_nothing_is_known_and_a_connection_ends_with_its_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    monkeypatch.setattr(fusectl, "CONNECTIONS", tmp_path / "nowhere")
    program = asking(session)

    assert fusectl.waiting(session.minor) is None
    session.abort(held=False)

    assert "abort" in told(program)
    assert session.alive()


def test_a_connection_that_somebody_else_holds_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    monkeypatch.setattr(fusectl, "CONNECTIONS", tmp_path / "nowhere")
    held = os.dup(session.fuse_fd)
    program = asking(session)

    session.abort(held=True)

    assert "abort" in told(program)
    assert mountinfo.at(session.mountpoint) is not None
    os.close(held)


def test_the_kernel_keeps_as_many_requests_in_flight_as_we_told_it(connections: Path, session: Session) -> None:
    connection = connections / str(session.minor)

    assert int((connection / "max_background").read_text()) == fuse_init.MAX_BACKGROUND
    assert int((connection / "congestion_threshold").read_text()) == fuse_init.CONGESTION_THRESHOLD
