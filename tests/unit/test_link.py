"""Links between our processes, with another side that does not keep to the agreement."""

import os
import socket

import pytest
import trio

from engine import link as links
from engine.link import Forked, Link, LinkClosed, Ready, pair


def test_a_packet_that_is_no_message_is_a_closed_link() -> None:
    async def main() -> None:
        ours, theirs = pair()
        link = Link(ours)
        with theirs:
            theirs.send(b"\xff garbage")
            with pytest.raises(LinkClosed, match="no message"):
                await link.receive()
        link.close()

    trio.run(main)


def test_file_descriptors_that_nobody_asked_for_are_not_kept() -> None:
    async def main() -> None:
        ours, theirs = pair()
        link = Link(ours)
        before = len(os.listdir("/proc/self/fd"))
        with theirs:
            links.send(theirs, Forked(pid=1), (theirs.fileno(), theirs.fileno()))
            message, fds = await link.receive()
            assert (message, fds) == (Forked(pid=1), [])
            assert len(os.listdir("/proc/self/fd")) == before
        link.close()

    trio.run(main)


def test_file_descriptors_that_are_wanted_arrive() -> None:
    async def main() -> None:
        ours, theirs = pair()
        link = Link(ours, fds_max=links.FDS_MAX)
        with theirs:
            links.send(theirs, Forked(pid=1), (theirs.fileno(),))
            _, fds = await link.receive()
            with socket.socket(fileno=fds[0]) as arrived:
                assert os.fstat(arrived.fileno()).st_ino == os.fstat(theirs.fileno()).st_ino
        link.close()

    trio.run(main)


def test_a_side_that_never_stops_talking_does_not_keep_other_tasks_from_running() -> None:
    talked = 100

    async def main() -> int:
        ours, theirs = pair()
        link = Link(ours)
        others = 0

        async def other() -> None:
            nonlocal others
            while True:
                await trio.lowlevel.checkpoint()
                others += 1

        with theirs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other)
                for _ in range(talked):
                    links.send(theirs, Ready())
                    await link.receive()
                nursery.cancel_scope.cancel()
        link.close()
        return others

    assert trio.run(main) >= talked // 2


def test_messages_and_fields_that_only_a_younger_version_knows_are_passed_by() -> None:
    async def main() -> None:
        ours, theirs = pair()
        link = Link(ours, fds_max=links.FDS_MAX)
        before = len(os.listdir("/proc/self/fd"))
        with theirs:
            socket.send_fds(theirs, [b'{"type":"not-invented-yet","x":[1]}'], [theirs.fileno()])
            theirs.send(b'{"type":"ready","region":"eu-west-1","colour":"blue"}')
            assert await link.receive() == (Ready(region="eu-west-1"), [])
            assert len(os.listdir("/proc/self/fd")) == before
        link.close()

    trio.run(main)


@pytest.mark.parametrize("packet", [b"{}", b"[]", b'{"type":"access"}'])
def test_a_message_that_says_no_type_or_lacks_what_it_must_have_is_a_closed_link(packet: bytes) -> None:
    ours, theirs = pair()
    with ours, theirs:
        theirs.send(packet)
        with pytest.raises(LinkClosed, match="no message"):
            links.receive(ours)
