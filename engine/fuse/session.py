"""pyfuse3's one session of this process: mount it here or take it over (adopt.py), serve it, end it.

Called by engine/run.py and by `python -m engine`. pyfuse3 keeps the session in globals, so a process has one.
"""

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from typing import Final

import pyfuse3

from engine.fuse.operations import Operations
from engine.spec import MountSpec

# pyfuse3 waits until /dev/fuse is readable, then reads it, blocking and with the interpreter's lock held. If the
# request was withdrawn in between (its program was killed), that read waits for the next request, and all other tasks
# with it, heartbeats included. A signal ends the read with EINTR, which pyfuse3 takes for "look again". Seconds: a
# stall this long is not noticed. The signal's handler is no Python function, as each call of one also wakes trio's
# loop: ten a second took 0.25 % of a core, which is half a core where 200 mounts are idle; now a tenth of that.
INTERRUPT_SECONDS: Final = 0.1

_libc: Final = ctypes.CDLL(None)
_libc.signal.restype = ctypes.c_void_p
_libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
# A function that takes a number and does nothing: what a handler must be.
_NOTHING: Final = ctypes.cast(_libc.abs, ctypes.c_void_p)

_serving: Final = threading.Event()


def mount(operations: Operations, spec: MountSpec) -> None:
    """Mount at `spec.mountpoint` by libfuse, without a supervisor. Raises RuntimeError; libfuse tells why on stderr."""
    options = {"default_permissions", "noatime", "fsname=" + spec.source.replace(",", "\\,"), "subtype=mountctl"}
    if spec.read_only:
        options.add("ro")
    if spec.allow_other:
        options.add("allow_other")
    pyfuse3.init(operations, spec.mountpoint, options)


async def serve(max_tasks: int) -> None:
    """Answer requests, up to `max_tasks` at once, until the session is unmounted or `stop` is called.

    What has been read from the kernel is answered before this returns.
    """
    with _interrupts(), _served():
        # One task stays ready to read while others work; pyfuse3 starts more as they are needed.
        await pyfuse3.main(min_tasks=1, max_tasks=max_tasks)


def stop() -> None:
    """Read no more requests: `serve` returns when those it has are answered. The kernel keeps the rest.

    No effect while nothing is served: pyfuse3 3.5 follows a null pointer when there is no session (any more).
    """
    if _serving.is_set():
        pyfuse3.terminate()


def close(*, unmount: bool) -> None:
    """Free the session after `serve`; `unmount` for one that `mount` made."""
    pyfuse3.close(unmount=unmount)


@contextlib.contextmanager
def _served() -> Iterator[None]:
    _serving.set()
    try:
        yield
    finally:
        _serving.clear()


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    before = _libc.signal(signal.SIGALRM, _NOTHING)
    signal.siginterrupt(signal.SIGALRM, True)  # libc would have the read go on
    signal.setitimer(signal.ITIMER_REAL, INTERRUPT_SECONDS, INTERRUPT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _libc.signal(signal.SIGALRM, before)


def mount_device(mountpoint: str) -> str | None:
    """`MAJOR:MINOR` of what is mounted last at a path, from the kernel's table; None if nothing is."""
    found = None
    # A path may have what is white space elsewhere: the kernel escapes what ends fields and lines here, and no more.
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as table:
        for line in table:
            fields = line.split(" ")
            if _unescape(fields[4]) == os.fspath(mountpoint):
                found = fields[2]
    return found


def _unescape(path: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path
