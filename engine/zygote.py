"""The zygote: imports everything once, then forks engines and the broker on the supervisor's order.

Started by the supervisor as `python -m engine.zygote FD`, where FD is its end of a link. Single-threaded, runs no event
loop, keeps no state: what it forks belongs to the supervisor, which is a subreaper and so becomes its parent. Ends when
the link is closed; what it forked goes on.
"""

import gc
import importlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Never

import engine.broker
import engine.run
from engine import __version__, log, stderr
from engine.child import close_others, drop_privileges, name_process
from engine.facts import about
from engine.link import ForkBroker, Forked, ForkEngine, ForkFailed, LinkClosed, Message, ZygoteReady, receive, send
from engine.logged import Form
from engine.message_ids import NOT_UNDERSTOOD
from engine.s3.configured import preload, read_authorities

_log = logging.getLogger(__name__)

# What Python would import late, when an engine may no longer read the interpreter's files.
_LATE_IMPORTS: Final = (
    "encodings.idna",
    "encodings.utf_8",
    "encodings.latin_1",
    "encodings.ascii",
    "stringprep",
    "traceback",
    "linecache",
)
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_EXIT_CRASHED: Final = 70  # EX_SOFTWARE of sysexits.h


def main(link: socket.socket) -> int:
    """Serve orders until the supervisor is gone. Returns the exit code."""
    stderr.unblock()
    log.set_up("zygote", mount=False)
    for name in _LATE_IMPORTS:
        importlib.import_module(name)
    # The supervisor ends its processes itself, in order; a signal to the whole group must not.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _raise_file_limit()
    preload()
    gc.collect()
    gc.freeze()  # what is here now is shared with every child: no collector pass should touch its pages
    try:
        send(link, ZygoteReady(version=__version__))
    except LinkClosed:
        return 0
    form: Form | None = None
    while True:
        try:
            message, fds = receive(link)
        except LinkClosed:
            return 0
        if isinstance(message, ForkEngine | ForkBroker) and message.log_form != form:
            form = message.log_form
            log.use_stderr(form, may_open=True)
        _serve(link, message, fds)


def _serve(link: socket.socket, message: Message, fds: list[int]) -> None:
    try:
        match message:
            case ForkEngine():
                _fork(link, fds, lambda: _be_engine(message, fds))
            case ForkBroker():
                _fork(link, fds, lambda: _be_broker(message, fds))
            case _:
                _log.warning("not an order for a zygote: %s", message.type, extra=about(NOT_UNDERSTOOD))
    except OSError as error:
        send(link, ForkFailed(reason=f"cannot fork: {error.strerror}"))
    finally:
        for fd in fds:
            os.close(fd)


def _fork(link: socket.socket, keep: list[int], body: Callable[[], int]) -> None:
    """Fork twice, so that the child's parent is the supervisor, which reads its exit status."""
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        child = os.fork()
        if not child:
            _run(keep, body)
        pidfd = os.pidfd_open(child)  # its parent is alive, so the pid is surely its own
        send(link, Forked(pid=child), (pidfd,))
    except OSError as error:
        send(link, ForkFailed(reason=f"cannot fork: {error.strerror}"))
    finally:
        os._exit(0)


def _run(keep: list[int], body: Callable[[], int]) -> Never:
    code = _EXIT_CRASHED
    try:
        close_others(keep)
        os.chdir("/")
        os.umask(0o077)
        code = body()
    except BaseException:  # noqa: BLE001 - the last line of a process: whatever it is must be told
        _log.exception("crashed")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _be_engine(message: ForkEngine, fds: list[int]) -> int:
    session_fd, link_fd, journal_fd = fds
    name_process(f"s3:{message.spec.name}")
    # As root: from here on it opens nothing, not even the journal's socket.
    level = message.log_level or message.spec.log_level
    log.set_up(message.spec.name, level=level, form=message.log_form, silent=message.spec.no_log)
    authorities = read_authorities(message.spec)  # as root: the file may be private
    if int(_OOM_SCORE.read_text()) < 0:
        _OOM_SCORE.write_text("0")  # the supervisor is spared; an engine is replaced, so it may go first
    drop_privileges(message.uid, message.gid)
    return engine.run.run_engine(message, session_fd, socket.socket(fileno=link_fd), journal_fd, authorities)


def _be_broker(message: ForkBroker, fds: list[int]) -> int:
    name_process("s3:broker")
    log.set_up("broker", mount=False, form=message.log_form)
    os.environ.update({name: value.get_secret_value() for name, value in message.environment.items()})
    return engine.broker.run_broker(socket.socket(fileno=fds[0]))


def _raise_file_limit() -> None:
    # Many connections and handles: 1024, the usual soft limit, is for programs that use select().
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
