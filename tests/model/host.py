"""System calls on a real mount, in the words that machine.py uses, and the bucket behind it on a real server.

Used by test_mounted.py. The kernel believes names for a moment (S30): before a call, changes of others are left to
become so old that nothing else is believed any more.
"""

import errno
import os
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests.model.things import Refused
from tests.servers import S3Server

T = TypeVar("T")

# S30: what the kernel believes with `minimal` at most, in seconds, and some more.
BELIEVED_SECONDS: Final = 1.05

# RELEASE comes after close(2) has returned; what was put off until then is in the bucket soon.
EVENTUALLY_SECONDS_MAX: Final = 20.0
EVENTUALLY_POLL_SECONDS: Final = 0.01

Shown = tuple[str, int]  # kind and size


class Objects:
    """The bucket below a prefix.

    Args:
        server: has the bucket.
        bucket: its name.
        prefix: all keys start with it.
        changed: told of each change.
    """

    def __init__(self, server: S3Server, bucket: str, prefix: str, changed: Callable[[], None]) -> None:
        self._server: Final = server
        self._bucket: Final = bucket
        self._prefix: Final = prefix
        self._changed: Final = changed

    def put(self, key: str, data: bytes) -> None:
        """Make or replace an object."""
        self._server.put(self._bucket, key, data)
        self._changed()

    def delete(self, key: str) -> None:
        """Delete one."""
        self._server.delete(self._bucket, key)
        self._changed()

    def content(self) -> dict[str, bytes]:
        """All objects below the prefix."""
        boto = self._server.boto
        found = boto.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix).get("Contents", [])
        return {one["Key"]: boto.get_object(Bucket=self._bucket, Key=one["Key"])["Body"].read() for one in found}

    def uploads(self) -> list[str]:
        """The keys of multipart uploads in progress."""
        found = self._server.boto.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return [one["Key"] for one in found if one["Key"].startswith(self._prefix)]


@dataclass
class File:
    """An open file."""

    fd: int
    path: str


class Host:
    """A mount point and what is behind it.

    Args:
        base: where it is mounted.
        server: has the bucket.
        bucket: its name.
        prefix: the mount's.
    """

    def __init__(self, base: Path, server: S3Server, bucket: str, prefix: str) -> None:
        self.bucket: Final = Objects(server, bucket, prefix, self.changed)
        self._base: Final = base
        self._stale_until = 0.0

    def stat(self, path: str) -> Shown:
        """lstat(2)."""
        return self._do(lambda: _shown(os.lstat(self._base / path)))

    def listing(self, path: str) -> dict[str, Shown]:
        """scandir(3) and lstat(2) of each name."""
        return self._do(lambda: {entry.name: _shown(os.lstat(entry.path)) for entry in os.scandir(self._base / path)})

    def tree(self) -> dict[str, Shown]:
        """All paths."""
        found: dict[str, Shown] = {}
        for directory, names, files in self._do(lambda: list(os.walk(self._base, onerror=_raise))):
            for name in [*names, *files]:
                path = Path(directory, name)
                assert str(path.relative_to(self._base)) not in found
                found[str(path.relative_to(self._base))] = self._do(lambda path=path: _shown(os.lstat(path)))
        return found

    def mkdir(self, path: str) -> None:
        """mkdir(2)."""
        self._do(lambda: os.mkdir(self._base / path))

    def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        self._do(lambda: os.rmdir(self._base / path))

    def unlink(self, path: str) -> None:
        """unlink(2)."""
        self._do(lambda: os.unlink(self._base / path))

    def rename(self, path: str, to: str) -> None:
        """rename(2)."""
        self._do(lambda: os.rename(self._base / path, self._base / to))

    def set_times(self, path: str) -> None:
        """utimensat(2)."""
        self._do(lambda: os.utime(self._base / path, ns=(5, 7)))

    def set_mode(self, path: str, *, same: bool) -> None:
        """chmod(2)."""
        mode = stat.S_IMODE(self._do(lambda: os.lstat(self._base / path)).st_mode)
        self._do(lambda: os.chmod(self._base / path, mode if same else mode ^ 0o011))

    def truncate(self, path: str, size: int) -> None:
        """truncate(2)."""
        self._do(lambda: os.truncate(self._base / path, size))

    def open(self, path: str, flags: int) -> File:
        """open(2) of a file. Without O_APPEND, which makes pwrite(2) disregard its offset.

        Of a directory it is EISDIR, though Linux opens it for reading, or has EINVAL for O_DIRECT.
        """
        if flags & os.O_DIRECT and self._do(lambda: os.path.isdir(self._base / path)):
            raise Refused(errno.EISDIR)
        fd = self._do(lambda: os.open(self._base / path, flags & ~os.O_APPEND))
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise Refused(errno.EISDIR)
        return File(fd, path)

    def read(self, file: File, offset: int, size: int) -> bytes:
        """pread(2)."""
        return self._do(lambda: os.pread(file.fd, size, offset))

    def write(self, file: File, offset: int, data: bytes) -> int:
        """pwrite(2)."""
        try:
            return self._do(lambda: os.pwrite(file.fd, data, offset))
        except Refused:
            self.changed()  # the file may be gone, and the kernel believes in it for a moment
            raise

    def fsync(self, file: File) -> None:
        """fsync(2)."""
        self._do(lambda: os.fsync(file.fd))

    def close_twin(self, file: File, *, by_opener: bool = True) -> None:
        """close(2) of another descriptor of the same open file, here or in a process that inherited it."""
        if by_opener:
            twin = os.dup(file.fd)
            self._do(lambda: os.close(twin))
        else:
            subprocess.run(["true"], pass_fds=[file.fd], check=True)

    def release(self, file: File) -> None:
        """The last close(2); whether it fails is `close_twin`'s to see."""
        try:
            os.close(file.fd)
        except OSError:
            self.changed()

    def fstat(self, file: File) -> int:
        """The size that fstat(2) shows."""
        return self._do(lambda: os.fstat(file.fd).st_size)

    def changed(self) -> None:
        """The kernel may believe in something for a moment that is not so any more."""
        self._stale_until = time.monotonic() + BELIEVED_SECONDS

    def _do(self, call: Callable[[], T]) -> T:
        time.sleep(max(0.0, self._stale_until - time.monotonic()))
        try:
            return call()
        except OSError as error:
            raise Refused(error.errno or errno.EIO) from error


def _raise(error: OSError) -> None:
    raise error


def _shown(found: os.stat_result) -> Shown:
    return ("dir", 0) if stat.S_ISDIR(found.st_mode) else ("file", found.st_size)
