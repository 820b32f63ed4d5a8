"""Runs `mountctl run` as an operator would, for tests: own configuration and runtime directory, a checked end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from mountctl.control.client import ControlClient
from mountctl.errors import SupervisorNotRunning
from tests.servers import S3Server

MOUNTCTL: Final = Path(sys.executable).parent / "mountctl"
# Generous: two busy cores, and interpreters that start cold.
WAIT_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.02

T = TypeVar("T")


def poll_until(look: Callable[[], T], what: str) -> T:
    """The first true thing that `look` returns; fails the test when it takes too long."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {WAIT_SECONDS_MAX} s for {what}")


def gone(pid: int) -> bool:
    """Whether a process has ended, with all of its threads: until then what it listened on takes connections."""
    try:
        ended = "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        return ended and os.listdir(f"/proc/{pid}/task") == [str(pid)]
    except (FileNotFoundError, ProcessLookupError):  # also between its opening and its reading
        return True


def _toml(value: Any) -> str:
    """A value as TOML has it: tables in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


class Running:
    """A configuration and, while `running()`, the supervisor that serves it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.config = work / "mountpoint-s3.toml"
        self.log = work / "supervisor.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "MOUNTCTL_NO_WATCH": "1",  # or a test's own reload would find nothing left to do; test_watch.py has others
            "MOUNTCTL_CONFIG": str(self.config),
            "MOUNTCTL_RUNTIME_DIR": str(work / "run"),
            "MOUNTCTL_STATE_DIR": str(work / "state"),
        }

    def mountpoint(self, name: str) -> Path:
        return self.work / "mnt" / name

    def configure(self, server: S3Server | str, **mounts: dict[str, Any]) -> None:
        """Write the file: one mount each, with its options in Python's spelling; `mountpoint` has a default."""
        endpoint = server if isinstance(server, str) else server.endpoint
        lines = ["[defaults]", f'endpoint-url = "{endpoint}"', "force-path-style = true", ""]
        for name, options in mounts.items():
            lines.append(f"[mount.{name}]")
            for key, value in ({"mountpoint": str(self.mountpoint(name))} | options).items():
                lines.append(f"{key.replace('_', '-')} = {_toml(value)}")
            lines.append("")
        new = self.config.with_suffix(".new")
        new.write_text("\n".join(lines))
        new.rename(self.config)

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [MOUNTCTL, "run"], env=self.environment, stderr=log, stdin=subprocess.DEVNULL
            )
        return self.process

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_SECONDS_MAX)
        self.process = None
        return code

    @contextlib.contextmanager
    def running(self, *states: str) -> Iterator[None]:
        """Started, and each mount in one of `states` (default: ready); at the end stopped with exit code 0."""
        self.start()
        try:
            self.wait_for_states(*(states or ("ready",)))
            yield
            assert self.stop() == 0, self.log_text()
            assert self.mounted() == []
        finally:
            self.kill()

    def kill(self) -> None:
        """Whatever happened: no process and no mount stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        for mountpoint in self.mounted():
            subprocess.run(["umount", "--lazy", mountpoint], check=True)
        # Engines end with their mounts, and with the last of them what holds their file descriptors.
        poll_until(lambda: self.holder() is None, "the FD holder to end")

    def crash(self) -> None:
        """The supervisor is killed; what outlives it goes on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def holder(self) -> int | None:
        """The process that holds this runtime directory's file descriptors, if there is one."""
        path = os.fsencode(self.work / "run" / "holder.sock")
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, ProcessLookupError):
                if entry.name.isdigit() and (entry / "cmdline").read_bytes().rstrip(b"\0").endswith(path):
                    return int(entry.name)
        return None

    def held_processes(self) -> set[int]:
        """The engines that live and of which the holder has the process, which it is told last."""
        holder, found = self.holder(), set()
        for file in [] if holder is None else list(Path(f"/proc/{holder}/fdinfo").iterdir()):
            with contextlib.suppress(FileNotFoundError):
                found |= {int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("Pid:")}
        return {pid for pid in found if pid > 0}  # -1: it has ended; and to kill that would be to kill everybody

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MOUNTCTL, *arguments], env=self.environment, capture_output=True, text=True, timeout=WAIT_SECONDS_MAX
        )

    def status(self, *names: str) -> dict[str, Any]:
        """What `status --json` prints, without the cost of a process; empty while there is no supervisor."""
        try:
            return ControlClient(self.work / "run").status(names)
        except SupervisorNotRunning:
            return {}

    def mount(self, name: str) -> dict[str, Any]:
        return next(mount for mount in self.status()["mounts"] if mount["name"] == name)

    def wait_for(self, name: str, state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            self.assert_alive()
            found = [m for m in self.status().get("mounts", []) if m["name"] == name and m["state"] == state]
            return found[0] if found else None

        return poll_until(look, f"{name} to be {state}; log:\n{self.log_text()}")

    def wait_for_states(self, *states: str) -> None:
        def look() -> bool:
            self.assert_alive()
            if not (status := self.status()):
                return False
            declared = self.config.read_text().count("[mount.")  # while it looks what was left, it has none yet
            mounts = status["mounts"]
            return len(mounts) >= declared and all(mount["state"] in states for mount in mounts)

        poll_until(look, f"it to answer, with all mounts in {states}; log:\n{self.log_text()}")

    def poll_uploads(self, name: str, count: int) -> None:
        """Until the supervisor knows that so many files are being written."""
        poll_until(lambda: self.mount(name)["stats"]["uploads"] == count, f"{count} uploads of {name}")

    def assert_alive(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, self.log_text()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def mounted(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        return [fields[4] for fields in map(str.split, lines) if fields[4].startswith(str(self.work))]
