"""A request on its way out, over a wire that does what a test says at the very moment that matters."""

import errno
from collections.abc import Sequence

import pytest
import trio

from engine.s3.sending import Sending


class ScriptedWire:
    """Takes so many bytes at each push; an OSError in the list is raised instead."""

    unsent = False

    def __init__(self, takes: list[int | OSError], said_at_the_end: bytes | OSError = b"") -> None:
        self.taken = b""
        self._takes = takes
        self._said_at_the_end = said_at_the_end

    def push(self, buffers: Sequence[memoryview]) -> int:
        take = self._takes.pop(0)
        if isinstance(take, OSError):
            raise take
        offered = b"".join(buffers)
        self.taken += offered[:take]
        return min(take, len(offered))

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def hear(self, _view: memoryview) -> int:
        await trio.sleep_forever()
        raise AssertionError

    def receive_now(self, view: memoryview) -> int:
        if isinstance(self._said_at_the_end, OSError):
            raise self._said_at_the_end
        view[: len(self._said_at_the_end)] = self._said_at_the_end
        return len(self._said_at_the_end)


def run(wire: ScriptedWire, sent: list[int], *, times: int = 1) -> bytes:
    async def main() -> bytes:
        sending = Sending(wire, b"head", [b"body", b"", memoryview(b" and tail")], sent.append)  # type: ignore[arg-type]
        for _ in range(times):
            with trio.fail_after(5) as limit:
                said = await sending.run(limit)
        assert sending.done == (wire.taken == b"headbody and tail")
        return said

    return trio.run(main)


@pytest.mark.parametrize("takes", [[100], [2, 3, 0, 1, 100], [4, 4, 9], [1] * 17])
def test_head_and_body_go_in_order_and_the_body_is_counted(takes: list[int | OSError]) -> None:
    wire, sent = ScriptedWire(takes), list[int]()
    assert run(wire, sent) == b""
    assert wire.taken == b"headbody and tail"
    assert sum(sent) == 13


@pytest.mark.parametrize("trouble", [errno.EPIPE, errno.ECONNRESET])
def test_an_answer_that_came_just_before_the_reset_is_heard(trouble: int) -> None:
    wire = ScriptedWire([5, OSError(trouble, "cut")], b"HTTP/1.1 403 ")
    assert run(wire, []) == b"HTTP/1.1 403 "


@pytest.mark.parametrize("said", [b"", OSError(errno.ECONNRESET, "reset")])
def test_a_cut_without_an_answer_is_the_cut_itself(said: bytes | OSError) -> None:
    wire = ScriptedWire([5, OSError(errno.EPIPE, "cut")], said)
    with pytest.raises(OSError, match="cut"):
        run(wire, [])


def test_a_cut_at_the_first_byte_is_told_too() -> None:
    with pytest.raises(OSError, match="cut"):
        run(ScriptedWire([OSError(errno.EPIPE, "cut")]), [])


def test_running_again_goes_on_where_it_stopped_or_does_nothing() -> None:
    wire = ScriptedWire([3, 100, 0])
    run(wire, [], times=2)
    assert wire.taken == b"headbody and tail"
