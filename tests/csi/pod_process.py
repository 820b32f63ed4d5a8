"""Containers of the driver's own pods, for tests: processes in mount namespaces of their own that end all together."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.service.running import WAIT_SECONDS_MAX, gone, poll_until

# As `mountPropagation: Bidirectional` makes it of what is shared on the host, in a container of a privileged pod with
# hostPID.
PRIVILEGED: Final = ("unshare", "--mount", "--propagation", "unchanged", "--")
# As `mountPropagation: HostToContainer` makes it; processes are alone, and root has no capability.
CONFINED: Final = (
    *("unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
    *("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"),
)


class PodProcess:
    """One container, that can be started again and again.

    Args:
        isolation: PRIVILEGED or CONFINED.
        command: its program.
        environment: its variables.
        log: a file to which its stderr is added.
    """

    def __init__(
        self, isolation: Sequence[str], command: Sequence[str | Path], environment: Mapping[str, str], log: Path
    ) -> None:
        self.environment = dict(environment)
        self.log = log
        self._command = [*isolation, *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert self._process is None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def tell_to_end(self) -> None:
        """SIGTERM, as at the end of a pod."""
        os.kill(self.main(), signal.SIGTERM)

    def wait(self) -> int:
        """Until it has ended after it was told to; the exit code."""
        assert self._process is not None
        code = self._process.wait(WAIT_SECONDS_MAX)
        self._process = None
        return code

    def stop(self) -> int:
        """Both."""
        self.tell_to_end()
        return self.wait()

    def kill(self) -> None:
        """All of its processes at once."""
        if self._process is None:
            return
        pids = self.pids()
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        self._end_all(pids)

    def kill_first(self) -> None:
        """Its first process, and then what is left of it, as its runtime does when the first one has ended."""
        assert self._process is not None
        pids = self.pids()
        os.kill(self.main(), signal.SIGKILL)
        self._process.wait()
        self._end_all(pids)

    def _end_all(self, pids: list[int]) -> None:
        assert self._process is not None
        for pid in pids:
            _send(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        poll_until(lambda: all(map(gone, pids)), "the processes of a container to be gone")

    def main(self) -> int:
        """The program's process; `unshare --fork` is its parent."""
        assert self._process is not None
        own = self._process.pid
        return own if "--fork" not in self._command else poll_until(lambda: children(own), "a container's process")[0]

    def pids(self) -> list[int]:
        """All of its processes."""
        assert self._process is not None
        return [self._process.pid, *descendants(self._process.pid)]

    def find(self, pattern: str) -> list[int]:
        """Those of its processes whose name, a line end and their command line match."""
        return [pid for pid in self.pids() if re.match(pattern, _names(pid), re.DOTALL)]

    def text(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def _names(pid: int) -> str:
    try:
        process = Path(f"/proc/{pid}")
        return process.joinpath("comm").read_text() + process.joinpath("cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
