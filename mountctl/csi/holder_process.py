"""The FD holder beside a supervisor that is in another pod: runs mountctl/supervisor/holder.py, and runs it again.

For `mountctl csi-node`, which has threads and no event loop. What the holder has while the supervisor's pod is replaced
nobody else has; so its end waits for a supervisor that has taken it.
"""

import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from engine.facts import about
from engine.message_ids import FD_HOLDER
from mountctl.errors import MountctlError
from mountctl.supervisor import holder
from mountctl.supervisor.held import SOCKET_NAME

# One that ends again and again is not started more often than this.
RESTART_SECONDS: Final = 0.5
_END_SECONDS: Final = 2.0
# A supervisor, and one that is on its way out.
_BACKLOG: Final = 4

_log = logging.getLogger(__name__)


class CannotHold(MountctlError):
    """No holder can run; the message says why."""

    exit_code = 1


class HolderProcess:
    """One holder at a runtime directory. `stop` it when done.

    Args:
        runtime_dir: the supervisor's, as this process has it.
        patience_seconds: how long an end waits for a supervisor to come and take what only the holder has.
    """

    def __init__(self, runtime_dir: Path, patience_seconds: float) -> None:
        self._patience_seconds: Final = patience_seconds
        self._path: Final = runtime_dir / SOCKET_NAME
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: Final = threading.Lock()
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._keep_running, name="fd-holder", daemon=True)

    def start(self) -> None:
        """Returns when it runs. Raises CannotHold."""
        listener = self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)  # the supervisor may come later
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            # Stays: a supervisor that connects while there is no process is heard by the next one.
            listener.listen(_BACKLOG)
            self._process = self._run()
        except OSError as error:
            listener.close()
            self._listener = None
            raise CannotHold(f"no FD holder can run at {self._path}: {error.strerror or error}") from error
        self._thread.start()

    def alive(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it: at once if a supervisor has all that it holds and stays, else when one has, or when patience ends."""
        with self._starting:
            self._stopping.set()
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(self._patience_seconds)
            except subprocess.TimeoutExpired:
                _log.warning(
                    "no supervisor has come for what the FD holder has: those mounts end with it",
                    extra=about(FD_HOLDER),
                )
                self._process.kill()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)
        if self._listener is not None:
            self._listener.close()
            self._path.unlink(missing_ok=True)

    def _keep_running(self) -> None:
        while (process := self._process) is not None:
            code = process.wait()
            if self._stopping.is_set():
                return
            assert process.stdin is not None
            process.stdin.close()
            _log.warning(
                "the FD holder has ended (%d): starting another, which the supervisor fills",
                code,
                extra=about(FD_HOLDER),
            )
            self._stopping.wait(RESTART_SECONDS)
            with self._starting:
                if self._stopping.is_set():
                    return
                try:
                    self._process = self._run()
                except OSError as error:
                    _log.warning(
                        "the FD holder can't be started, and is tried again: %s", error, extra=about(FD_HOLDER)
                    )

    def _run(self) -> subprocess.Popen[bytes]:
        assert self._listener is not None
        listener = self._listener.fileno()
        return subprocess.Popen(
            # Alone, without site: a few MiB.
            [sys.executable, "-I", "-S", holder.__file__, str(listener), str(self._path), holder.EXTERNAL],
            pass_fds=[listener],
            stdin=subprocess.PIPE,  # its end is how it is told to end
            stdout=sys.stderr,
            start_new_session=True,
            cwd="/",
            env={},
        )
