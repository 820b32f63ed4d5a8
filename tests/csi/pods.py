"""A node of two pods for tests: supervisors, one after the other, and an FD holder, each in a namespace of its own."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, gone, poll_until

# mount(2)
_MS_BIND: Final = 4096
_MS_SHARED: Final = 1 << 20

_HOLDER: Final = """
import pathlib, signal, sys
from mountctl.csi.holder_process import HolderProcess
it = HolderProcess(pathlib.Path(sys.argv[1]), float(sys.argv[2]))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
it.start()
print("there", flush=True)
signal.sigwait([signal.SIGTERM])
it.stop()
"""
# As kubelet's containers have it: a namespace of their own, what is mounted below a shared directory is in all of them.
_UNSHARE: Final = ("unshare", "--mount", "--propagation", "unchanged")
# Without hostPID.
OWN_PROCESSES: Final = ("--pid", "--fork", "--mount-proc")


class Node(Running):
    """`work` is shared, as <kubelet> is between host and pods. `close` it at the end."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.environment |= {"MOUNTCTL_FD_HOLDER": "external", "MOUNTCTL_LEAVE_SECONDS": str(WAIT_SECONDS_MAX)}
        (work / "run").mkdir()
        self.pod: subprocess.Popen[bytes] | None = None
        self.unshared: tuple[str, ...] = ()  # what else the supervisor's pod has of its own
        _mount(work, _MS_BIND)
        _mount(work, _MS_SHARED)

    def start(self) -> subprocess.Popen[bytes]:
        """The supervisor's pod."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_UNSHARE, *self.unshared, MOUNTCTL, "run"], env=self.environment, stderr=log, stdin=subprocess.DEVNULL
            )
        return self.process

    def start_holder(self) -> None:
        """The node plugin's pod; there when it returns."""
        with self.log.open("ab") as log:
            self.pod = subprocess.Popen(
                [*_UNSHARE, sys.executable, "-c", _HOLDER, str(self.work / "run"), str(WAIT_SECONDS_MAX)],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.pod.stdout is not None
        assert self.pod.stdout.readline() == b"there\n"

    def kill_holder(self) -> None:
        """All processes of the node plugin's pod."""
        holder = self.holder_process()
        assert self.pod is not None
        self.pod.kill()
        os.kill(holder, signal.SIGKILL)
        self.pod.communicate()
        self.pod = None
        poll_until(lambda: gone(holder), "the holder to be gone")

    def holder_process(self) -> int:
        """The process of the holder."""
        path = os.fsencode(self.work / "run" / "holder.sock")

        def look() -> int | None:
            for entry in Path("/proc").iterdir():
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, ProcessLookupError):
                    if entry.name.isdigit() and path in (entry / "cmdline").read_bytes().split(b"\0"):
                        return int(entry.name)
            return None

        return poll_until(look, "a holder")

    def kill_supervisor(self) -> None:
        """All processes of the supervisor's pod, at once: it, its engines, and whatever else it has."""
        assert self.process is not None
        pids = [self.process.pid, *_descendants(self.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        poll_until(lambda: all(map(gone, pids)), "the pod to be gone")

    def poll_holder(self, state: str) -> None:
        """Until the supervisor says so of it."""
        poll_until(
            lambda: self.status().get("supervisor", {}).get("fd_holder") == state,
            f"the holder to be {state}; log:\n{self.log_text()}",
        )

    def close(self) -> None:
        """Whatever happened: no process and no mount stays."""
        if self.process is not None:
            self.kill_supervisor()
        if self.pod is not None:
            self.kill_holder()
        for mountpoint in reversed(self.mounted()):
            subprocess.run(["umount", "--lazy", mountpoint], check=True)


def _mount(path: Path, flags: int) -> None:
    source = os.fsencode(path)
    if ctypes.CDLL(None, use_errno=True).mount(source, source, None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), "mount", str(path))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found
