"""A forked process and its end, also when the kernel does not let it end."""

import os
import select
import subprocess
from pathlib import Path

import pytest
import trio

from engine.link import Link, pair
from engine.spec import MountSpec
from mountctl.supervisor import process
from mountctl.supervisor.process import Exit, ForkedProcess
from mountctl.supervisor.session import Session


def test_a_process_that_is_stuck_in_the_kernel_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_KILL_SECONDS", 0.2)
    session = Session.create(MountSpec(name="m", bucket="some-bucket", mountpoint=str(tmp_path / "mnt")))
    session.attach()
    program = subprocess.Popen(["stat", tmp_path / "mnt" / "x"], stderr=subprocess.DEVNULL)
    poll = select.poll()
    poll.register(session.fuse_fd, select.POLLIN)
    assert poll.poll(10_000)
    os.read(session.fuse_fd, 1 << 21)  # a request that somebody has read: its program can't be killed any more

    async def end_it() -> Exit:
        ours, theirs = pair()
        theirs.close()
        forked = ForkedProcess(program.pid, os.pidfd_open(program.pid), Link(ours))
        try:
            return await forked.end(0.0)
        finally:
            forked.close()

    try:
        exit_ = trio.run(end_it)
    finally:
        session.detach()
        session.close()  # ends the connection, and so the program
        program.wait()

    assert exit_ == Exit(stuck=True)
    assert "stuck" in str(exit_)
