"""A real mount served by `python -m engine`, for tests: made, waited for, and unmounted whatever happens."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, S3Server

# The engine starts in about a second on a quiet machine; a busy one may take ten times that.
START_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 20.0

# A test run that is killed must not leave engines behind: the kernel kills them with their parent.
_WITH_PARENT: Final = ["setpriv", "--pdeathsig", "KILL", "--"]


class NotMounted(Exception):
    """The engine ended or said nothing; the text is its log."""


class Mounted:
    """A bucket mounted in a temporary directory: enter to mount, leave to unmount.

    Args:
        server: the S3 server.
        bucket: the bucket, and a prefix behind a slash if one is wanted.
        options: MountSpec's, such as `metadata_ttl=60`; True for a flag.
    """

    def __init__(self, server: S3Server, bucket: str, **options: Any) -> None:
        options = {"endpoint_url": server.endpoint, "force_path_style": True, "region": REGION, **options}
        self._command = ["engine", f"s3://{bucket}", "MOUNTPOINT", *_flags(options)]
        self.path = Path()
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        self._base = Path(tempfile.mkdtemp(prefix="mountctl-fuse-"))
        self.path = self._base / "mount"
        self.path.mkdir()
        self._log = self._base / "log"
        self._start()
        try:
            self._wait_until_mounted()
        except NotMounted:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._clean_up()

    def stop(self) -> dict[str, Any]:
        """Unmount by SIGINT and wait; returns the engine's counters. Afterwards the log is in `log`."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self.exit_code = self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self.exit_code = self._process.wait()
        self.log = self._log.read_text()
        counters = [line for line in self.log.splitlines() if '"bytes_read"' in line]
        if not counters:
            return {}
        found: dict[str, Any] = json.loads(counters[-1][counters[-1].index("{") :])
        return found

    @property
    def pid(self) -> int:
        """The engine's process."""
        return self._process.pid

    def _start(self) -> None:
        command = [str(self.path) if word == "MOUNTPOINT" else word for word in self._command]
        environment = os.environ | {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_WITH_PARENT, sys.executable, "-W", "error", "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )

    def _wait_until_mounted(self) -> None:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], START_SECONDS_MAX)
        if not readable or self._process.stdout.readline() != b"mounted\n":
            raise NotMounted(self._log.read_text())

    def _clean_up(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.exit_code = self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if _is_mounted(self.path):
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        shutil.rmtree(self._base)


class MountedMemory(Mounted):
    """A bucket in the engine's own memory (memory_engine.py), for what a real server is too slow for.

    Args:
        objects: how many objects of one byte are in its directory `many`.
    """

    def __init__(self, objects: int) -> None:
        self._command = ["tests.fuse.memory_engine", str(objects), "MOUNTPOINT"]
        self.path = Path()
        self.exit_code = None


def _flags(options: dict[str, Any]) -> list[str]:
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        flags += [flag] if value is True else [flag, str(value)]
    return flags


def _is_mounted(path: Path) -> bool:
    return f" {path} " in Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
