"""`python -m mountctl.supervisor.sweep FD PLACE FLOOR`: ends with EINTR what a dead engine had read of a session.

For kernels that don't send such requests again (before Linux 6.9): they would hang for ever. Nobody knows their
numbers, but the kernel gives them out one after the other, so all that were lately given out are answered; an answer to
a request that is not there, or that nobody has read yet, is refused and does no harm. Run by inflight.py as a process
of its own, which may hang, while no engine reads the session. Needs the standard library only: it must be quick.

Prints the newest number when what is in flight is answered in all likelihood, and goes on in the background with what
is older.
"""

import ctypes
import os
import secrets
import select
import signal
import struct
import sys
from typing import Final

_IN_HEADER: Final = struct.Struct("<IIQ")  # length, opcode, unique: the head of struct fuse_in_header
_OUT_HEADER: Final = struct.Struct("<IiQ")  # length, error, unique: struct fuse_out_header
_EINTR: Final = 4
# Numbers of requests go up by two; an odd one interrupts the one before it (FUSE_REQ_ID_STEP, FUSE_INT_REQ_BIT).
_STEP: Final = 2
_INTERRUPT_BIT: Final = 1
_REQUEST_BYTES_MAX: Final = (1 << 20) + 4096
# A program that looks a name up does so within milliseconds.
_REQUEST_MS_MAX: Final = 5000
# A process that is killed ends in milliseconds; if it does not, whatever lies at the place holds it.
_END_SECONDS: Final = 1.0
# No request takes an engine much longer than a minute (S3's retries are bounded), and none answers more than 26,000 in
# a second. At about a million answers a second this takes one and a half.
_NUMBERS_MAX: Final = 60 * 26_000
# What is swept before the successor may read: far more than can have come while one request was being answered, and
# more than can be waiting to be read. A tenth of a second.
_NUMBERS_AT_ONCE: Final = 1 << 17


def ask(place: str) -> int:
    """Have a child look up a name that is nobody's, so that there is a request. Returns its process, for `end`."""
    asker = os.fork()
    if not asker:
        try:
            os.stat(f"{place}/.mountctl-{secrets.token_hex(8)}")
        finally:
            os._exit(0)
    return asker


def newest(fuse_fd: int) -> int | None:
    """The number of a request that is there now; it is read for this, and for the sweep to end. None if none comes."""
    poll = select.poll()
    poll.register(fuse_fd, select.POLLIN)
    if not any(events & select.POLLIN for _, events in poll.poll(_REQUEST_MS_MAX)):
        return None
    _length, _opcode, unique = _IN_HEADER.unpack_from(os.read(fuse_fd, _REQUEST_BYTES_MAX))
    return int(unique) & ~_INTERRUPT_BIT


def end(asker: int) -> None:
    """End who asked, and its request with it if that was not the one that was read (and swept by now)."""
    pidfd = os.pidfd_open(asker)
    os.kill(asker, signal.SIGKILL)
    select.select([pidfd], [], [], _END_SECONDS)
    os.waitpid(asker, os.WNOHANG)
    os.close(pidfd)


def sweep(fuse_fd: int, first: int, last: int) -> int:
    """Answer EINTR to all numbers from `first` down to above `last`. Returns how many there were."""
    answer = bytearray(_OUT_HEADER.size)
    given = (ctypes.c_char * len(answer)).from_buffer(answer)
    write = ctypes.CDLL(None).write
    write.argtypes, write.restype = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_ssize_t
    pack, size, found = _OUT_HEADER.pack_into, len(answer), 0
    for unique in range(first, last, -_STEP):
        pack(answer, 0, size, -_EINTR, unique)
        found += write(fuse_fd, given, size) == size
    return found


def main(fuse_fd: int, place: str, floor: int) -> int:
    """Returns the exit code: 1 if no number could be had."""
    asker = ask(place)
    first = newest(fuse_fd)
    if first is None:
        end(asker)
        return 1
    last = max(floor, first - _STEP * _NUMBERS_MAX, 0)
    between = max(last, first - _STEP * _NUMBERS_AT_ONCE)
    found = sweep(fuse_fd, first, between)
    end(asker)
    print(first, found, flush=True)
    if between > last and not os.fork():
        os.close(1)
        sweep(fuse_fd, between, last)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
