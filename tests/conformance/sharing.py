"""Mounts that many cases share, each case in a directory of its own: a mount costs a second, a directory nothing.

Made by the fixtures of conftest.py. What a shared mount logged is looked through when it ends: an error inside the
engine fails the run, whatever the programs saw.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.fuse.mounted import Mounted
from tests.servers import RcloneServer, S3Server

# What operations.py and Python write about errors that nobody foresaw.
ENGINE_BUGS: Final = ("Traceback", "unexpected", "never retrieved", "never awaited")

# What a lifetime of metadata puts off comes within a second or two; a busy machine may take ten times that.
EVENTUALLY_SECONDS_MAX: Final = 20.0
EVENTUALLY_POLL_SECONDS: Final = 0.03


def eventually(condition: Callable[[], object]) -> None:
    """Wait for what the kernel's or the engine's belief in what it knows puts off; fail if it does not come."""
    deadline = time.monotonic() + EVENTUALLY_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(EVENTUALLY_POLL_SECONDS)


@dataclass(frozen=True)
class Place:
    """A directory of a mount, and the same place in the bucket. `path` exists as soon as something is put."""

    server: S3Server
    bucket: str
    prefix: str
    path: Path

    def put(self, key: str, data: bytes = b"", **options: Any) -> None:
        """Put an object below this place, behind the mount's back.

        Into rclone's directory as a file: its server may answer nobody any more after a PUT that makes directories.
        """
        if isinstance(self.server, RcloneServer):
            path = self.server.directory / self.bucket / (self.prefix + key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        else:
            self.server.put(self.bucket, self.prefix + key, data, **options)

    def delete(self, *keys: str) -> None:
        """Delete objects below this place, behind the mount's back."""
        for key in keys:
            self.server.delete(self.bucket, self.prefix + key)

    def names(self, directory: str = "") -> list[str]:
        """What a directory lists, in the order it lists it."""
        return os.listdir(self.path / directory)


class SharedMounts:
    """Mounts by server and options, made when first asked for and kept until left."""

    def __init__(self) -> None:
        self._mounts: dict[tuple[str, frozenset[tuple[str, object]]], tuple[Mounted, str]] = {}
        self._numbers = itertools.count()
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._closing:
            ended = [(mounted, mounted.stop()) for mounted, _ in self._mounts.values()]
        bugs = [line for mounted, _ in ended for line in mounted.log.splitlines() if _is_bug(line)]
        assert not bugs, "\n".join(bugs)
        assert all(mounted.exit_code == 0 for mounted, _ in ended)
        assert all(counters["open_files"] == counters["arena_bytes"] == 0 for _, counters in ended)

    def place(self, server: S3Server, **options: Any) -> Place:
        """A directory that no other case uses."""
        wanted = (server.name, frozenset(options.items()))
        if wanted not in self._mounts:
            bucket = server.bucket()
            self._mounts[wanted] = (self._closing.enter_context(Mounted(server, bucket, **options)), bucket)
        mounted, bucket = self._mounts[wanted]
        name = f"case-{next(self._numbers)}"
        return Place(server, bucket, f"{name}/", mounted.path / name)


def _is_bug(line: str) -> bool:
    return any(sign in line for sign in ENGINE_BUGS)
