"""The part of the state directory that outlives a reboot: multipart uploads that are not over, one file a session.

Called by leftovers.py, in a thread, as a disk can take its time. Below `uploads/` each supervisor has a directory of
its own, named after its runtime directory and locked while it runs. What other supervisors on this host have noted is
read only when it is of another boot: until then it may be in use. Another host's notes (a shared or copied disk) are
left alone. Each file is replaced as a whole, and is on the disk when `write` returns.
"""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from engine.facts import about
from engine.message_ids import STATE_FILE, UPLOAD_LEFT
from engine.spec import MountSpec
from mountctl.supervisor import state_file

# machine-id(5). A container may have none: then those without one are one host.
_MACHINE_ID: Final = Path("/etc/machine-id")
_SUFFIX: Final = ".json"
_NEW_SUFFIX: Final = ".new"
# Keys are nobody else's business.
_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
# leftovers.UPLOADS_MAX of them with the longest keys, of characters that take six bytes in JSON, and the longest ids.
FILE_BYTES_MAX: Final = 32 << 20

_log = logging.getLogger(__name__)


class Begun(BaseModel):
    """A multipart upload: its object's key, and when we heard of it, in seconds since the epoch."""

    key: str
    since: float


class SessionUploads(BaseModel):
    """What one session has begun and not ended. Fields are only ever added, with a default."""

    machine: str
    boot: str
    mount: str
    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    uploads: dict[str, Begun] = Field(default_factory=dict, description="by upload id")
    asked: dict[str, float] = Field(
        default_factory=dict, description="by key: S3 was asked then, its answer is not known"
    )

    def is_of(self, spec: MountSpec) -> bool:
        """Whether it is where this mount writes, as far as its prefix goes."""
        return not spec.read_only and (self.bucket, self.endpoint_url) == (spec.bucket, spec.endpoint_url)


class UploadFiles:
    """The files.

    Args:
        state_dir: the state directory; made when it is needed.
        runtime_dir: this supervisor's.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path) -> None:
        self._all: Final = state_dir / "uploads"
        self._own: Final = self._all / state_file.name_of(runtime_dir)
        self._fd = -1
        self.boot: Final = state_file.boot_id()
        self.machine = ""
        with contextlib.suppress(FileNotFoundError):
            self.machine = _MACHINE_ID.read_text().strip()

    @property
    def directory(self) -> Path:
        """Where they are."""
        return self._own

    def path_of(self, token: str) -> Path:
        """The file of a session of this supervisor."""
        return self._own / f"{token}{_SUFFIX}"

    def open(self) -> dict[Path, SessionUploads]:
        """Lock the directory; returns what may concern this supervisor, by file. Raises OSError.

        A file that is broken is told in the log, and left as it is.
        """
        self._all.mkdir(parents=True, exist_ok=True)
        self._own.mkdir(_DIRECTORY_MODE, exist_ok=True)
        for made in (self._all.parent, self._all):
            _sync(made)
        if self._fd < 0:
            self._fd = os.open(self._own, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                errno.EBUSY, "another supervisor uses it, whose runtime directory has the same name"
            ) from error
        for path in self._own.glob(f"*{_NEW_SUFFIX}"):
            path.unlink(missing_ok=True)
        return dict(self._read_all())

    def write(self, path: Path, data: bytes | None) -> None:
        """Replace a file; None: there is nothing to be known any more. Raises OSError."""
        if data is None:
            path.unlink(missing_ok=True)  # if that is lost, S3 says the same once more
            return
        new = path.with_suffix(_NEW_SUFFIX)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, _FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(new, path)
        _sync(path.parent)

    def close(self) -> None:
        """Give up the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_all(self) -> Iterator[tuple[Path, SessionUploads]]:
        others = 0
        for path in sorted(self._all.glob(f"*/*{_SUFFIX}")):
            found = _read(path)
            if found is None:
                continue
            if found.machine != self.machine:
                others += len(found.uploads)
            elif path.parent == self._own or found.boot != self.boot:
                yield path, found
        if others:
            _log.warning(
                "%s: %d multipart uploads are another host's, by its machine id: left alone",
                self._all,
                others,
                extra=about(UPLOAD_LEFT),
            )


def _read(path: Path) -> SessionUploads | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:  # its supervisor has just ended
        return None
    except OSError as error:
        _log.warning(
            "cannot read %s, so uploads in it are not aborted: %s", path, error.strerror, extra=about(STATE_FILE)
        )
        return None
    if len(data) > FILE_BYTES_MAX:
        _log.warning("%s is larger than anything that was written there: left alone", path, extra=about(STATE_FILE))
        return None
    try:
        return SessionUploads.model_validate_json(data)
    except ValidationError as error:
        _log.warning(
            "%s is broken, so uploads in it are not aborted: %s",
            path,
            error.errors()[0]["msg"],
            extra=about(STATE_FILE),
        )
        return None


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
