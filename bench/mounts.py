"""A mount of the bench's S3 that a peer serves, and what serving costs it.

Used by the benches. Costs are read in /proc, of all processes that serve: with us these are the engine, its broker and
the supervisor with its zygote.
"""

import contextlib
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.fast_s3 import MEMORY, FastS3
from bench.peers import Peer
from bench.processes import cpu_seconds, family, memory

MOUNT_SECONDS_MAX: Final = 30.0
UNMOUNT_SECONDS_MAX: Final = 20.0

# Characters of a peer's last words.
TOLD_MAX: Final = 500

# How often memory is looked at while a mount is used. To read smaps_rollup of a process takes a millisecond.
MEMORY_POLL_SECONDS: Final = 0.1

_FUSE_TYPES: Final = re.compile(r" fuse(\.\S+)? ")


@dataclass
class Mount:
    """A peer that serves now.

    Args:
        peer: who.
        directory: where.
        pid: the process that was started.
        client: whose endpoint of the S3 it uses.
    """

    peer: Peer
    directory: Path
    pid: int
    client: int = 0
    peak: int = 0  # bytes of memory, see `watched`
    _stop: threading.Event = field(default_factory=threading.Event)

    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        return cpu_seconds(family(self.pid))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While in the context its memory is looked at; `peak` is of this time."""
        self.peak = 0
        self._stop.clear()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        pids = family(self.pid)
        while True:
            self.peak = max(self.peak, memory(pids))
            if self._stop.wait(MEMORY_POLL_SECONDS):
                return


def mounted(directory: Path) -> bool:
    """Whether a FUSE file system is mounted here, by the mount table: it never asks whoever serves it."""
    # Others' mounts may have any name.
    lines = os.fsdecode(Path("/proc/self/mounts").read_bytes()).splitlines()
    return any(line.split(" ")[1] == str(directory) and _FUSE_TYPES.search(line) for line in lines)


@contextlib.contextmanager
def mount(peer: Peer, s3: FastS3, *, client: int = 0, ttl: bool = False) -> Iterator[Mount]:
    """A mount of the bench's bucket, served by `peer` while in the context. Raises RuntimeError if it does not come.

    What the peer keeps in files is kept in memory, as the S3's objects are.
    """
    with tempfile.TemporaryDirectory(prefix="mountctl-bench-", dir=MEMORY) as temporary:
        directory, cache, errors = Path(temporary, "mount"), Path(temporary, "cache"), Path(temporary, "errors")
        directory.mkdir()
        cache.mkdir()
        with errors.open("w") as told:
            process = subprocess.Popen(
                peer.arguments(s3, client, directory, cache, ttl=ttl),
                env=peer.variables(s3),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
            )
        try:
            _wait_until_mounted(directory, process, errors)
            yield Mount(peer, directory, process.pid, client)
        finally:
            _end(directory, process)


def _wait_until_mounted(directory: Path, process: subprocess.Popen[bytes], errors: Path) -> None:
    deadline = time.monotonic() + MOUNT_SECONDS_MAX
    while not mounted(directory):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"does not mount: {' '.join(errors.read_text(errors='replace').split())[:TOLD_MAX]}")
        time.sleep(0.02)
    os.listdir(directory)  # the first request: it serves


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
        process.kill()
        process.wait(UNMOUNT_SECONDS_MAX)
