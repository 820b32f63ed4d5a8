"""A read of /dev/fuse that waits for nothing ends soon, and to see to that costs an idle engine no turn of its loop."""

import ctypes
import errno
import os
import signal

import trio

from engine.fuse.session import INTERRUPT_SECONDS, _interrupts


def test_a_read_that_waits_is_interrupted_and_the_handler_before_is_back_afterwards() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    reader, writer = os.pipe()
    before = signal.getsignal(signal.SIGALRM)
    try:
        with _interrupts():
            # As pyfuse3 reads: Python's own read would begin again.
            assert libc.read(reader, ctypes.create_string_buffer(1), 1) == -1
            assert ctypes.get_errno() == errno.EINTR
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) == before
    finally:
        os.close(reader)
        os.close(writer)


class _Turns(trio.abc.Instrument):
    """Counts turns of the loop."""

    count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


def test_a_loop_that_has_nothing_to_do_is_not_woken() -> None:
    turns = _Turns()

    async def wait() -> int:
        with _interrupts():
            before = turns.count
            await trio.sleep(10 * INTERRUPT_SECONDS)
            return turns.count - before

    assert trio.run(wait, instruments=[turns]) == 1
