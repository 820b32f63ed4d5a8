"""What was left of a mount, taken apart: who is adopted, who must end, and nothing leaks. With real processes."""

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
import trio

from engine.link import Ready, pair, send
from engine.spec import MountSpec
from mountctl.supervisor import adoption, bequest, record

SPEC = MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": "/mnt/m"})
RECORD = record.SessionRecord(spec=SPEC, init_request="00", minor=3, mount_id=9, generation=4, made_directory=False)


class Engines:
    """Stand-ins for engines: processes that sleep, and both ends of their links."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ends: list[socket.socket] = []

    def start(self, generation: int) -> dict[str, int]:
        process = subprocess.Popen(["sleep", "1000"])
        ours, theirs = pair()
        self.processes.append(process)
        self.ends.append(theirs)
        link, pidfd = adoption.kinds_of(generation)
        return {link: ours.detach(), pidfd: os.pidfd_open(process.pid)}

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()


@pytest.fixture
def engines() -> Iterator[Engines]:
    it = Engines()
    yield it
    for number, end in enumerate(it.ends):
        it.kill(number)
        end.close()


def session() -> dict[str, int]:
    fds = {"fuse": os.open(os.devnull, os.O_RDONLY), "journal": os.memfd_create("j"), "record": record.create()}
    record.write(fds["record"], RECORD)
    return fds


def taken_apart(fds: dict[str, int]) -> tuple[int | None, int, list[int]]:
    """The adopted engine's process and generation, and the others. Checks that nothing leaks."""

    async def main() -> tuple[int | None, int, list[int]]:
        before = len(os.listdir("/proc/self/fd"))
        given = len(fds)
        left = adoption.take_apart(fds)
        told = (left.engine and left.engine.pid, left.generation, [process.pid for process in left.others])
        for process in [left.engine, *left.others]:
            if process is not None:
                process.close()
        if left.session is not None:
            left.session.close()
        assert len(os.listdir("/proc/self/fd")) == before - given
        return told

    return trio.run(main)


def test_the_engine_that_lives_is_adopted(engines: Engines) -> None:
    assert taken_apart(session() | engines.start(4)) == (engines.processes[0].pid, 4, [])


def test_of_two_the_older_is_adopted_and_the_younger_must_end(engines: Engines) -> None:
    fds = session() | engines.start(10) | engines.start(9)

    assert taken_apart(fds) == (engines.processes[1].pid, 9, [engines.processes[0].pid])


def test_of_two_the_younger_is_adopted_when_the_older_has_ended(engines: Engines) -> None:
    fds = session() | engines.start(9) | engines.start(10)
    engines.kill(0)

    assert taken_apart(fds) == (engines.processes[1].pid, 10, [])


def test_one_whose_link_is_gone_must_end(engines: Engines) -> None:
    fds = session() | engines.start(4)
    os.close(fds.pop(adoption.kinds_of(4)[0]))

    assert taken_apart(fds) == (None, 0, [engines.processes[0].pid])


def test_a_link_without_its_process_is_of_no_use(engines: Engines) -> None:
    fds = session() | engines.start(4)
    os.close(fds.pop(adoption.kinds_of(4)[1]))

    assert taken_apart(fds) == (None, 0, [])


def test_without_its_session_an_engine_must_end(engines: Engines) -> None:
    fds = session() | engines.start(4)
    os.close(fds.pop("journal"))

    assert taken_apart(fds) == (None, 0, [engines.processes[0].pid])


def test_what_a_younger_version_kept_and_this_one_does_not_know_is_closed(engines: Engines) -> None:
    extra = {"spell": os.memfd_create("x"), "link-x": os.memfd_create("x"), "pidfd-": os.memfd_create("x")}

    assert taken_apart(session() | engines.start(4) | extra) == (engines.processes[0].pid, 4, [])


def test_what_an_engine_said_while_there_was_no_supervisor_is_heard(engines: Engines) -> None:
    fds = session() | engines.start(4)
    send(engines.ends[0], Ready(region="eu-west-1"))

    async def main() -> None:
        left = adoption.take_apart(fds)
        assert left.engine is not None
        assert left.session is not None
        assert await left.engine.link.receive() == (Ready(region="eu-west-1"), [])
        left.engine.close()
        left.session.close()

    trio.run(main)


def left_of_writing(generation: int, count: int = 2) -> dict[str, int]:
    fds = tuple(os.memfd_create(f"{generation}-{number}") for number in range(count))
    return bequest.Bequest(generation, fds).kept


@pytest.mark.parametrize(
    ("kept", "generation", "names"),
    [
        ([left_of_writing(3)], 3, ["3-0", "3-1"]),
        ([left_of_writing(10), left_of_writing(9)], 10, ["10-0", "10-1"]),
        ([left_of_writing(10, count=1), left_of_writing(9)], 9, ["9-0", "9-1"]),  # died while it was being kept
        ([left_of_writing(4, count=1)], 0, []),
        ([{}], 0, []),
    ],
)
def test_of_what_was_left_of_writing_the_youngest_that_is_whole_counts(
    kept: list[dict[str, int]], generation: int, names: list[str]
) -> None:
    left = adoption.take_apart(session() | {kind: os.dup(fd) for each in kept for kind, fd in each.items()})
    assert left.session is not None
    found = left.session.bequest

    assert found.generation == generation
    assert [os.readlink(f"/proc/self/fd/{fd}").split(":")[1].split(" ")[0] for fd in found.fds] == names
    left.session.close()
    for each in kept:
        for fd in each.values():
            os.close(fd)
