"""What can go wrong in an engine: one class a condition, each with the errno that programs see and its log level.

Raised low (engine/s3, engine/namespace, engine/read, engine/fs), converted once: engine/fuse/operations.py turns
`errno` into the reply to the kernel. Never raised by the control plane.

    EngineError                      EIO
    ├── NotFound                     ENOENT      no such name
    ├── NotADirectory                ENOTDIR
    ├── IsADirectory                 EISDIR
    ├── InvalidName                  EINVAL      a name that no S3 key of ours can have
    │   └── NameTooLong              ENAMETOOLONG    longer than a whole key can be
    ├── InvalidArgument              EINVAL      flags or arguments ask for what S3 can't do
    │   └── OutOfOrderWrite          EINVAL      a write that does not begin where the last one ended
    ├── Stale                        ESTALE      the inode or the object's version is gone
    ├── Deleted                      EIO         the object was deleted while a handle was reading it
    ├── Archived                     EACCES      the object's storage class needs a restore first
    ├── ReadOnly                     EROFS       this mount does not write
    ├── NotPermitted                 EPERM
    │   └── Unsettable               EPERM       modes, owners, times and sizes of objects
    ├── BadHandle                    EBADF
    ├── NameTaken                    EEXIST      there is a file or directory by this name
    ├── NotEmpty                     ENOTEMPTY   a directory that is to be removed holds something
    ├── CrossDevice                  EXDEV       renaming: programs that know this copy and delete instead
    ├── TooManyWriters               ENOMEM      no memory for another file open for writing
    ├── FileTooBig                   EFBIG       more than S3, or our memory, can make one object of
    ├── UploadFailed                 EIO         what was written could not be stored; none of it is
    ├── UploadCompleted              EIO         a write behind fsync, which made the object
    └── S3Error                      EIO         S3 said no, or nothing
        ├── NoSuchKey                ENOENT      404 of an object
        ├── NoSuchBucket             EIO         404 of the bucket
        ├── AccessDenied             EACCES      403 (Mountpoint answers EIO: a known defect)
        ├── NoSuchUpload             EIO         404 of a multipart upload: aborted or completed by somebody
        ├── PreconditionFailed       ESTALE      412: If-Match did not hold
        │   └── AlreadyExists        EEXIST      412: If-None-Match did not hold
        ├── ArchivedObject           EACCES      403 InvalidObjectState
        ├── RangeNotSatisfiable      EIO         416
        ├── EntityTooLarge           EFBIG       more than S3 takes in one object, PUT or part
        ├── KeyTooLong               ENAMETOOLONG    a key of more than 1,024 bytes
        ├── WrongEncryption          EIO         S3 encrypted otherwise than it was asked to
        ├── WrongRegion              EIO         301, 307, 400: the bucket lives elsewhere
        ├── Throttled                EIO         503 SlowDown after all retries
        ├── BadResponse              EIO         what came was not what S3 promises (truncated, wrong range)
        └── Unreachable              EIO         no answer: refused, reset, timed out, TLS, DNS
"""

import errno as _errno
import logging
from typing import Any


class EngineError(Exception):
    """Something failed in an engine. `errno` is what the calling program sees."""

    errno: int = _errno.EIO
    level: int = logging.WARNING


class NotFound(EngineError):
    """There is no such name."""

    errno = _errno.ENOENT
    level = logging.DEBUG


class NotADirectory(EngineError):
    """A directory was needed and this is a file."""

    errno = _errno.ENOTDIR
    level = logging.DEBUG


class IsADirectory(EngineError):
    """A file was needed and this is a directory."""

    errno = _errno.EISDIR
    level = logging.DEBUG


class InvalidName(EngineError):
    """The name can't be a component of a key: empty, `.`, `..`, with a NUL or a slash, or not UTF-8."""

    errno = _errno.EINVAL
    level = logging.DEBUG


class NameTooLong(InvalidName):
    """The name alone is longer than S3 allows a whole key to be."""

    errno = _errno.ENAMETOOLONG


class InvalidArgument(EngineError):
    """The flags or arguments ask for what S3 can't do, such as a write that is durable when it returns (O_SYNC)."""

    errno = _errno.EINVAL
    level = logging.DEBUG


class OutOfOrderWrite(InvalidArgument):
    """A write does not begin where the last one ended. The file is given up."""

    level = logging.WARNING


class Stale(EngineError):
    """The inode is unknown, or the object was replaced in S3 while a handle was reading the old version."""

    errno = _errno.ESTALE


class Deleted(EngineError):
    """The object was deleted in S3 while a handle was reading it. EIO: read(2) knows no "no such file"."""


class Archived(EngineError):
    """The object is in an archive storage class and not restored. Not raised when a restored copy is there."""

    errno = _errno.EACCES


class ReadOnly(EngineError):
    """The mount does not write."""

    errno = _errno.EROFS
    level = logging.DEBUG


class NotPermitted(EngineError):
    """The operation exists and is not allowed here."""

    errno = _errno.EPERM


class Unsettable(NotPermitted):
    """S3 keeps no modes, owners or times that could be set, and can't cut an object. (Archivers ask for each file.)"""

    level = logging.DEBUG


class BadHandle(EngineError):
    """The file or directory handle is not open, or not for this."""

    errno = _errno.EBADF


class NameTaken(EngineError):
    """There is a file or directory by this name already."""

    errno = _errno.EEXIST
    level = logging.DEBUG


class NotEmpty(EngineError):
    """The directory that is to be removed holds something."""

    errno = _errno.ENOTEMPTY
    level = logging.DEBUG


class CrossDevice(EngineError):
    """S3 can't rename. Programs such as `mv` take this errno for "copy, then delete"."""

    errno = _errno.EXDEV
    level = logging.DEBUG


class TooManyWriters(EngineError):
    """There is no memory for another file that is open for writing."""

    errno = _errno.ENOMEM


class FileTooBig(EngineError):
    """The file has become larger than S3 takes, or than parts of the size that memory allows can make."""

    errno = _errno.EFBIG


class UploadFailed(EngineError):
    """What was written could not be stored, or its engine died; what was in S3 before still is."""


class UploadCompleted(EngineError):
    """The object was made by fsync; S3 can add nothing to it."""


class S3Error(EngineError):
    """A request to S3 failed for good (after its retries).

    Args:
        message: what failed, for a person; never holds a secret.
        code: S3's error code (`NoSuchKey`), empty if none came.
        status: the HTTP status, 0 if no answer came.
        key: the object's key or the listed prefix.
        request_id: S3's `x-amz-request-id`, for its support.
        host_id: S3's `x-amz-id-2`, which its support wants too.
    """

    cut = False  # the connection ended under it, which says little about S3: another one may do
    attempts = 0  # how often the request was made; 0: that is not known

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 0,
        key: str = "",
        request_id: str = "",
        host_id: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.key = key
        self.request_id = request_id
        self.host_id = host_id

    def __str__(self) -> str:
        facts = {
            "code": self.code,
            "status": self.status,
            "key": self.key,
            "request_id": self.request_id,
            "host_id": self.host_id,
        }
        # A key may hold a newline, and a server's words anything: quoted, they can't forge a line of the log.
        told = " ".join(f"{name}={value!r}" for name, value in facts.items() if value)
        return f"{self.args[0]} ({told})" if told else str(self.args[0])


class NoSuchKey(S3Error):
    """404: the object does not exist."""

    errno = _errno.ENOENT
    level = logging.DEBUG


class NoSuchBucket(S3Error):
    """404: the bucket does not exist."""


class AccessDenied(S3Error):
    """403: the credentials may not do this, are wrong, or have expired."""

    errno = _errno.EACCES


class PreconditionFailed(S3Error):
    """412: the object is no longer the version that was opened."""

    errno = _errno.ESTALE


class AlreadyExists(PreconditionFailed):
    """412: there is an object by this key already, and the request was to make one only if there is none."""

    errno = _errno.EEXIST


class NoSuchUpload(S3Error):
    """404: the multipart upload is not, or no longer, there: completed, aborted, or expired by a lifecycle rule."""


class ArchivedObject(S3Error):
    """403 InvalidObjectState: the object must be restored before it can be read."""

    errno = _errno.EACCES


class RangeNotSatisfiable(S3Error):
    """416: the range starts behind the object's end, so the object is shorter than it was."""


class EntityTooLarge(S3Error):
    """400: more bytes than S3 takes in one object, one PUT or one part."""

    errno = _errno.EFBIG


class KeyTooLong(S3Error):
    """400: the key has more than 1,024 bytes."""

    errno = _errno.ENAMETOOLONG


class WrongEncryption(S3Error):
    """S3 says that it encrypted otherwise than it was asked to. A single PUT is stored by then, nothing else is."""


class WrongRegion(S3Error):
    """301, 307 or 400: the bucket lives in another region; `region` names it where S3 told.

    Args:
        region: the bucket's region, empty if S3 did not tell.
        facts: those of every S3Error.
    """

    def __init__(self, message: str, *, region: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.region = region


class Throttled(S3Error):
    """503 SlowDown (or 429), and still so after all retries."""


class BadResponse(S3Error):
    """What came was not what S3 promises: a truncated body, the wrong range, XML that does not parse."""


class Unreachable(S3Error):
    """No answer: connection refused or reset, a timeout, a TLS or name resolution failure."""
