"""Which process a FLUSH comes from: close(2) of a file's owner completes it, that of a process it has started does not.

Used by operations.py. pyfuse3 gives the caller's number to OPEN, and to FLUSH does not, though libfuse has it: in the
request, which pyfuse3 keeps in an object that its coroutine refers to. It is read from there, after a check that the
object is what it should be. Where it is not, the answer is "unknown". Never writes to foreign memory.
"""

import ctypes
import gc
import logging
import os
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import outcome
import pyfuse3
import trio

from engine.facts import about
from engine.message_ids import ENGINE_UNFIT

logger = logging.getLogger(__name__)

# The object that holds a request, and what lies between our coroutine's task and it: coroutines of Python and Cython,
# their wrappers, and the variables of Cython's.
_HOLDER: Final = "_Container"
_PASSAGES: Final = ("coroutine", "coroutine_wrapper")
_VARIABLES: Final = "__pyx_scope_struct"

# The holder's last fields, from its end: the handle, a struct stat, size and offset, two words of 4, the request.
_HANDLE_BYTES: Final = 8
_BETWEEN_BYTES: Final = 8 + 8 + 4 + 4
_POINTER_BYTES: Final = ctypes.sizeof(ctypes.c_void_p)

# sizeof(struct stat) of Linux's 64-bit architectures, glibc and musl.
_STATS: Final = {"x86_64": 144, "aarch64": 128, "riscv64": 128, "ppc64le": 144, "s390x": 144}
_STAT_BYTES: Final = _STATS.get(os.uname().machine)

# Of /proc/PID/status, where the process is told in one of the first lines.
_STATUS_BYTES: Final = 1024

# A task's coroutines are nested a handful deep; more is not what we know.
_OBJECTS_MAX: Final = 64
# Names of types that coroutines refer to, of which it is known whether they lead on.
_NAMES_KEPT: Final = 256

# How long it is remembered which process a thread belongs to, in seconds: who makes files asks twice for each. Another
# thread gets its number when all numbers have had their turn, 32,768 at least.
PROCESS_KEPT_SECONDS: Final = 1.0
# Threads of which that is.
THREADS_KEPT: Final = 256
_processes: Final[dict[int, tuple[int, float]]] = {}


class _Context(ctypes.Structure):
    """struct fuse_ctx: who made a request."""

    _fields_ = (
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("pid", ctypes.c_int32),
        ("umask", ctypes.c_uint32),
    )


def _libfuse() -> ctypes.CDLL | None:
    """The libfuse that pyfuse3 has loaded, and no other."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        _, slash, path = line.partition("/")
        if slash and os.path.basename(path).startswith("libfuse3"):
            library = ctypes.CDLL(slash + path)
            library.fuse_req_ctx.restype = ctypes.POINTER(_Context)
            library.fuse_req_ctx.argtypes = (ctypes.c_void_p,)
            return library
    return None


# Found while files of the host can still be opened: an engine drops its privileges before it serves.
_LIBFUSE: Final = _libfuse()


def process_of(thread: int) -> int | None:
    """The process that a thread belongs to, both by the numbers the kernel gives; None if it is gone or not visible."""
    if thread <= 0:
        return None
    now = time.monotonic()
    process, until = _processes.get(thread, (None, 0.0))
    if now < until:
        return process
    if (process := _asked_process_of(thread)) is None:
        return None
    if len(_processes) >= THREADS_KEPT:
        _processes.clear()
    _processes[thread] = process, now + PROCESS_KEPT_SECONDS
    return process


def _asked_process_of(thread: int) -> int | None:
    try:
        # 4 us, where Path.read_text and a search by lines cost 16.
        file = os.open(f"/proc/{thread}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.read(file, _STATUS_BYTES)
        finally:
            os.close(file)
    except OSError:
        return None  # it ended, or belongs to a namespace of processes that we don't see
    _, found, rest = status.partition(b"\nTgid:")
    return int(rest.split(None, 1)[0]) if found else None


async def flushing_thread(handle: int) -> int | None:
    """The thread whose close(2) our task is answering; None if that can't be found out, or is not visible here.

    To be called by the coroutine that pyfuse3 awaits, with the handle that pyfuse3 gave it.
    """
    task = trio.lowlevel.current_task()

    def look(_raise_cancel: object) -> trio.lowlevel.Abort:
        trio.lowlevel.reschedule(task, outcome.capture(_find, task.coro, handle))
        return trio.lowlevel.Abort.FAILED  # no need to: it goes on

    # Coroutines refer to what they await while they are suspended only. Right when a task is, trio asks one that was
    # cancelled whether its wait can be ended: so that is when we look. (`run_sync_soon` wakes the loop by a socket: two
    # turns and seven system calls more, a tenth of what a small file costs before its PUT is sent.)
    with trio.CancelScope() as scope:
        scope.cancel()
        found: int | None = await trio.lowlevel.wait_task_rescheduled(look)
    if found is None:
        _tell_once()
    elif not found:
        _tell_of_namespace_once()
    return found or None


def _find(coroutine: Any, handle: int) -> int | None:
    library, stat_bytes = _LIBFUSE, _STAT_BYTES
    if library is None or stat_bytes is None:
        return None
    objects = [coroutine]
    for found in objects:
        kind = type(found)
        if kind.__name__ == _HOLDER and kind.__module__.startswith(pyfuse3.__name__):
            return _thread_of(found, handle, stat_bytes, library)
        if len(objects) < _OBJECTS_MAX:
            objects += [each for each in gc.get_referents(found) if _leads_on(type(each).__name__)]
    return None


@lru_cache(maxsize=_NAMES_KEPT)
def _leads_on(kind: str) -> bool:
    return kind in (*_PASSAGES, _HOLDER) or kind.startswith(_VARIABLES)


def _thread_of(holder: object, handle: int, stat_bytes: int, library: ctypes.CDLL) -> int | None:
    memory = ctypes.string_at(id(holder), type(holder).__basicsize__)
    if int.from_bytes(memory[-_HANDLE_BYTES:], sys.byteorder) != handle:
        return None
    end = len(memory) - _HANDLE_BYTES - stat_bytes - _BETWEEN_BYTES
    request = int.from_bytes(memory[end - _POINTER_BYTES : end], sys.byteorder)
    if not request:
        return None
    context = library.fuse_req_ctx(request).contents
    return int(context.pid)  # 0: not of the namespace of processes that the mount was made in, nor below it


@lru_cache(maxsize=1)
def _tell_once() -> None:
    logger.warning(
        "this pyfuse3 does not show who closes a file: a file is complete when any process that has it closes it",
        extra=about(ENGINE_UNFIT),
    )


@lru_cache(maxsize=1)
def _tell_of_namespace_once() -> None:
    logger.warning(
        "programs are in a namespace of processes that is not visible here (a container without the host's, hostPID): "
        "a file is complete when any process that has it closes it",
        extra=about(ENGINE_UNFIT),
    )
