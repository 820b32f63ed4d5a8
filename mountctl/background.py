"""A supervisor of one mount in the background: for mount(8), which waits until it is mounted and then goes on.

Called by commands/fstab.py when no supervisor runs. Forks before anything of trio or a thread is there; the child tells
by a pipe how it went. Its stderr, which is its engines' too, is the journal, the mount's log file, or logger(1).
"""

import contextlib
import os
import shutil
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, Never

from engine.spec import MountSpec
from mountctl import daemon
from mountctl.errors import MountctlError
from mountctl.supervisor import log_file

_TAG: Final = "mountctl"
_JOURNAL: Final = Path("/run/systemd/journal/stdout")
# syslog(3): daemon.info, for lines that have no level of their own.
_PRIORITY: Final = 30
_MOUNTED: Final = b"+"
_FAILED: Final = b"-"
_EXIT_CRASHED: Final = 70  # EX_SOFTWARE of sysexits.h
# A sentence of ours; a pipe takes that much at once.
_REASON_BYTES_MAX: Final = 4096


class BackgroundFailed(MountctlError):
    """The mount could not be had; the text is the background process's own."""


def mount(spec: MountSpec, runtime_dir: Path, state_dir: Path) -> None:
    """Mount in a process of its own; returns when the mount can be used. Raises BackgroundFailed."""
    ours, theirs = os.pipe()
    middle = os.fork()
    if not middle:
        os.close(ours)
        _detach(lambda: _serve(spec, runtime_dir, state_dir, theirs))
    os.close(theirs)
    os.waitpid(middle, 0)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read()
    if not said.startswith(_MOUNTED):
        reason = said.removeprefix(_FAILED).decode(errors="replace")
        raise BackgroundFailed(reason or "the background process ended without a word; the system's log may have more")


def _detach(body: Callable[[], int]) -> Never:
    """Become a process without parent, and never return. The session stays the caller's for now: see _serve."""
    try:
        if os.fork():
            os._exit(0)
        os._exit(body())
    finally:
        os._exit(_EXIT_CRASHED)


def _serve(spec: MountSpec, runtime_dir: Path, state_dir: Path, pipe: int) -> int:
    def mounted() -> None:
        # Not before: at an automount point systemd lets its own process group in, to mount, and has all others wait.
        os.setsid()
        tell(_MOUNTED)

    def tell(what: bytes) -> None:
        nonlocal pipe
        if pipe >= 0:
            with contextlib.suppress(BrokenPipeError):  # mount(8) was interrupted: nobody waits
                os.write(pipe, what[:_REASON_BYTES_MAX])
            os.close(pipe)
            pipe = -1

    try:
        os.chdir("/")
        os.umask(0o022)
        _redirect(spec)
        os.set_inheritable(pipe, False)
        return daemon.run_one(spec, runtime_dir, state_dir, mounted)
    except BaseException as error:  # noqa: BLE001 - the last line of a process: whatever it is must be told
        reason = _first(error)
        tell(_FAILED + (str(reason) or type(reason).__name__).encode())
        if isinstance(reason, MountctlError):
            return reason.exit_code
        traceback.print_exception(error)
        return _EXIT_CRASHED


def _first(error: BaseException) -> BaseException:
    """The first error in a nursery's group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _redirect(spec: MountSpec) -> None:
    """Stdin from nowhere, stdout and stderr to the log. Not as they were: mount(8) may be read to their end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    log = _log(spec)
    os.dup2(nowhere, 0)
    for standard in (1, 2):
        os.dup2(nowhere if log is None else log, standard)
    for fd in (nowhere, log):
        if fd is not None and fd > 2:
            os.close(fd)


def _log(spec: MountSpec) -> int | None:
    """Where what is said goes: None if there is no such place."""
    if spec.log_directory is not None:
        with contextlib.suppress(OSError):  # then it is said in the system's log
            return log_file.create(log_file.path_of(spec.log_directory, spec.name))
    return _journal() or _logger()


def _journal() -> int | None:
    """A stream to journald: its identifier, unit, priority, and whether lines have levels or go elsewhere as well."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(_JOURNAL))
        sock.sendall(f"{_TAG}\n\n{_PRIORITY}\n0\n0\n0\n0\n".encode())
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        sock.close()
        return None
    fd = sock.detach()
    found = os.fstat(fd)
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"  # so that nobody adds the time
    return fd


def _logger() -> int | None:
    """The standard input of logger(1), which speaks syslog to whoever is there. It ends when all have closed it."""
    program = shutil.which("logger")
    if program is None:
        return None
    ours, theirs = os.pipe()
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    arguments = [program, "--tag", _TAG, "--priority", "daemon.info"]
    # Nobody waits for it: it ends behind us.
    os.posix_spawn(program, arguments, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, ours, 0), *nowhere])
    os.close(ours)
    return theirs
