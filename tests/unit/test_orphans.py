"""Processes that children of ours left behind."""

import os
import subprocess
import sys

import pytest
import trio
import trio.testing

from mountctl.supervisor import orphans


def zombie() -> int:
    """A child that has ended and that nobody has collected."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_a_zombie_that_nobody_collects_is_taken_away() -> None:
    pid = zombie()

    async def main() -> None:
        with trio.move_on_after(2.5 * orphans.UNCLAIMED_SECONDS):
            await orphans.collect()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_zombie_that_is_seen_once_is_left_to_its_owner() -> None:
    pid = zombie()

    async def main() -> None:
        with trio.move_on_after(1.5 * orphans.UNCLAIMED_SECONDS):
            await orphans.collect()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert os.waitpid(pid, os.WNOHANG)[0] == pid


def test_at_the_end_children_and_what_they_started_are_ended() -> None:
    # In a process of its own: it would end other tests' servers.
    script = (
        "import subprocess, sys\n"
        "from mountctl.supervisor import mount_api, orphans\n"
        "mount_api.become_subreaper()\n"
        "child = subprocess.Popen(['sh', '-c', 'sleep 1000 & echo $!; wait'], stdout=subprocess.PIPE)\n"
        "print(child.pid, int(child.stdout.readline()))\n"
        "orphans.end_all()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    for pid in map(int, done.stdout.split()):
        assert not os.path.exists(f"/proc/{pid}")
