"""Mounts that are replaced or moved below a shared directory: no mount namespace keeps a stack, or the old one."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mountctl.supervisor.abilities import FORCE_VARIABLE
from tests.csi.asking import Asking
from tests.csi.pods import Node
from tests.servers import MotoServer
from tests.service.poison import POISONED, end_of, looking_up
from tests.service.running import poll_until

_ROOT: Final = Path(__file__).parent.parent.parent
_CONTAINER: Final = "print(flush=True); input()"


@contextlib.contextmanager
def container(propagation: str) -> Iterator[int]:
    """A mount namespace of its own: HostToContainer is `slave`, Bidirectional `unchanged`. Gives its process."""
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", propagation, sys.executable, "-c", _CONTAINER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.communicate(b"\n")


def mounts(pid: int | str, work: Path) -> list[tuple[str, str]]:
    """Which FUSE file system is seen where below a directory, by a process: what was mounted last at each place."""
    lines = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape").splitlines()]
    return sorted(
        {fields[4]: fields[2] for fields in lines if fields[4].startswith(str(work)) and "fuse" in fields[-3]}.items()
    )


def replaced(old: list[tuple[str, str]], work: Path) -> list[tuple[str, str]]:
    """What is seen, once another file system is at each place. (Others' supervisors may take away what is dead.)"""
    places, gone = [place for place, _ in old], {device for _, device in old}

    def look() -> list[tuple[str, str]]:
        new = mounts("self", work)
        return new if [place for place, _ in new] == places and not gone & {device for _, device in new} else []

    return poll_until(look, "the new session to be everywhere")


@pytest.fixture(params=["", "no-beneath"])
def poisoned(request: pytest.FixtureRequest, node: Node) -> Node:
    """A node whose engines die of certain names; also one that takes its kernel for an old one."""
    node.environment["PYTHONPATH"] = f"{POISONED}:{_ROOT}"
    node.environment[FORCE_VARIABLE] = request.param
    return node


def test_a_session_that_was_given_up_is_replaced_everywhere(poisoned: Node, moto: MotoServer, bucket: str) -> None:
    asking = Asking(poisoned, moto)
    asking.configure()
    poisoned.start()
    poisoned.wait_for_states("ready")
    with container("slave") as before, container("unchanged") as peer:
        asking.apply("data", "a", bucket=bucket)
        asking.apply("data", "b", bucket=bucket, read_only=True)
        places = sorted([str(asking.target("a")), str(asking.target("b")), str(poisoned.work / "run/volumes/data")])
        with container("slave") as since:
            everywhere = ("self", before, peer, since)
            old = mounts("self", poisoned.work)
            assert [place for place, _ in old] == places
            for _ in range(2):
                end_of_engine = looking_up(asking.target("a") / "poison-crash")
                poisoned.wait_for("data", "failed")
                end_of(end_of_engine)
                assert poisoned.run("restart", "data").returncode == 0

                old = replaced(old, poisoned.work)
                assert len({each for _, each in old}) == 1
                assert all(mounts(pid, poisoned.work) == old for pid in everywhere)
                assert (asking.target("b") / "x").read_bytes() == b"x"
            asking.release_all()
            assert all(mounts(pid, poisoned.work) == [] for pid in everywhere)


def test_a_mount_that_is_moved_is_where_it_was_no_more(node: Node, moto: MotoServer, bucket: str) -> None:
    node.configure(moto, data={"bucket": bucket})
    node.start()
    node.wait_for("data", "ready")
    with container("slave") as follower, container("unchanged") as peer:
        node.configure(moto, data={"bucket": bucket, "mountpoint": str(node.work / "mnt" / "elsewhere")})
        assert node.run("reload").returncode == 0
        node.wait_for("data", "ready")

        there = mounts("self", node.work)
        assert [place for place, _ in there] == [str(node.work / "mnt" / "elsewhere")]
        assert mounts(follower, node.work) == mounts(peer, node.work) == there
