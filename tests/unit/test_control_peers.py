"""Who may use the control socket: its mode and owner, and what others are told."""

import grp
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from mountctl.control.client import ControlClient
from mountctl.control.peers import Peer, may_enter
from mountctl.errors import ControlDenied
from tests.unit.controlled import Supervisor, serving

NOBODY = 65534


def as_nobody(runtime_dir: Path, action: Callable[[ControlClient], object]) -> str:
    """Do this in a child without privileges, which starts in the runtime directory; returns what it raised."""
    runtime_dir.chmod(0o755)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads: the child only asks and exits
        child = os.fork()
    if not child:
        told = "(nothing)"
        try:
            os.chdir(runtime_dir)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            action(ControlClient(Path()))
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, told.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def test_the_socket_is_roots_alone_without_a_group_and_gone_at_the_end(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        found = (runtime_dir / "control.sock").stat()
        assert stat.S_IMODE(found.st_mode) == 0o600

    assert not serving(tmp_path, body).exists()


def test_the_socket_belongs_to_the_control_group(tmp_path: Path) -> None:
    group = grp.getgrgid(NOBODY).gr_name

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        found = (runtime_dir / "control.sock").stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o660, os.geteuid(), NOBODY)

    serving(tmp_path, body, group=group)


def test_a_foreign_user_is_refused_and_told_who_may(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        (runtime_dir / "control.sock").chmod(0o666)
        told = await trio.to_thread.run_sync(as_nobody, runtime_dir, ControlClient.reload)
        assert told.startswith(f"{ControlDenied.__name__}: user {NOBODY} may not use the control socket: only root")
        assert supervisor.reloads == 0

    serving(tmp_path, body)


def test_a_member_of_the_control_group_comes_in(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        told = await trio.to_thread.run_sync(as_nobody, runtime_dir, ControlClient.reload)
        assert told == "(nothing)"
        assert supervisor.reloads == 1

    serving(tmp_path, body, group=grp.getgrgid(NOBODY).gr_name)


def test_a_user_who_cannot_even_connect_is_told_so_by_the_client(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        told = await trio.to_thread.run_sync(as_nobody, runtime_dir, ControlClient.status)
        assert told.startswith(f"{ControlDenied.__name__}: you may not use control.sock")

    serving(tmp_path, body)


@pytest.mark.parametrize(
    ("peer", "groups", "gid", "expected"),
    [
        (Peer(1, 0, 0), [], None, True),
        (Peer(1, 7, 7), [], None, True),
        (Peer(1, 8, 8), [], None, False),
        (Peer(1, 8, 8), [20, 30], 30, True),
        (Peer(1, 8, 30), [], 30, True),
        (Peer(1, 8, 0), [0], None, False),
    ],
)
def test_root_the_own_user_and_members_may_enter(
    peer: Peer, groups: list[int], gid: int | None, expected: bool
) -> None:
    assert may_enter(peer, 7, groups, gid) is expected
