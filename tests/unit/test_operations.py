"""Errors of the file system become errnos, log lines and counters in one place, and none ends the session."""

import errno
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pyfuse3
import pytest
import trio

from engine.errors import (
    AccessDenied,
    Archived,
    ArchivedObject,
    BadHandle,
    CrossDevice,
    EngineError,
    NotFound,
    ReadOnly,
    Stale,
    Unreachable,
)
from engine.facts import facts_of
from engine.fs.ledger import Ledger
from engine.fuse.operations import Operations
from engine.message_ids import ARCHIVED_READ, REQUEST_FAILED, Kind
from engine.namespace.lifetimes import lifetimes
from engine.spec import Ttl
from engine.stats import EngineStats

# A request's context, as far as it is looked at: pyfuse3 makes no other.
CALLER: Any = SimpleNamespace(pid=7)


class Failing:
    """A file system of which every verb fails in one way."""

    def __init__(self, failure: Exception, ttl: Ttl = "minimal") -> None:
        self._failure = failure
        self.describe = Named()
        self.lifetimes = lifetimes(ttl)
        self.ledger = Ledger()

    async def lookup(self, parent: int, name: bytes, caller: int) -> Any:
        await trio.lowlevel.checkpoint()
        raise self._failure

    async def read(self, handle: int, offset: int, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        raise self._failure

    def missing_seconds(self, parent: int, name: bytes) -> float:
        return self.lifetimes.missing

    async def close(self, handle: int) -> None:
        await trio.lowlevel.checkpoint()
        raise self._failure

    async def mkdir(self, parent: int, name: bytes) -> Any:
        await trio.lowlevel.checkpoint()
        raise self._failure

    def rename(self, parent: int, flags: int) -> EngineError:
        return CrossDevice("copy, then delete")

    def link(self, verb: str, parent: int) -> EngineError:
        raise self._failure


class Named:
    """Stands for engine/fs/describe.py."""

    def inode(self, number: int) -> str:
        return "s3://b/k"

    def child(self, parent: int, name: bytes) -> str:
        return "s3://b/d/k"

    def handle(self, handle: int) -> str:
        return "s3://b/k"

    def key(self, told: str) -> str:
        return told.removeprefix("s3://b/")


def operations(failure: Exception, ttl: Ttl = "minimal") -> tuple[Operations, EngineStats]:
    stats = EngineStats()
    return Operations(Failing(failure, ttl), stats), stats  # type: ignore[arg-type]


def told(call: Callable[[], Awaitable[Any]]) -> int:
    """The errno that the kernel gets."""

    async def run() -> int:
        with pytest.raises(pyfuse3.FUSEError) as caught:
            await call()
        return caught.value.errno

    return trio.run(run)


@pytest.mark.parametrize(
    ("failure", "number", "shown"),
    [
        (AccessDenied("S3 denies access", status=403), errno.EACCES, True),
        (Unreachable("no answer"), errno.EIO, True),
        (Stale("replaced"), errno.ESTALE, False),
        (BadHandle("not open"), errno.EBADF, False),
    ],
)
def test_an_error_is_answered_counted_and_shown_if_s3_or_keys_are_at_fault(
    failure: EngineError, number: int, shown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    served, stats = operations(failure)
    with caplog.at_level(logging.WARNING):
        assert told(lambda: served.read(pyfuse3.FileHandleT(1), 0, 1)) == number

    assert stats.fuse_errors == {errno.errorcode[number]: 1}
    assert stats.fuse_requests == {"read": 1}
    assert "read of s3://b/k" in caplog.text
    assert (stats.last_error or "").startswith("read of s3://b/k failed: ") is shown


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Archived("restore it"), ARCHIVED_READ),
        (ArchivedObject("it is archived", status=403), ARCHIVED_READ),
        (Stale("replaced"), REQUEST_FAILED),
    ],
)
def test_an_archived_read_is_found_by_an_id_of_its_own(
    failure: EngineError, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    served, _ = operations(failure)
    with caplog.at_level(logging.WARNING):
        told(lambda: served.read(pyfuse3.FileHandleT(1), 0, 1))

    assert [facts_of(record).kind for record in caplog.records] == [kind]


def test_a_missing_name_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    served, stats = operations(NotFound("no"))
    with caplog.at_level(logging.INFO):
        number = told(lambda: served.lookup(pyfuse3.ROOT_INODE, b"k", CALLER))

    assert number == errno.ENOENT
    assert not caplog.records
    assert stats.last_error is None


def test_with_a_ttl_the_kernel_may_remember_that_there_is_no_such_name() -> None:
    served, _ = operations(NotFound("no"), ttl=60)
    entry = trio.run(served.lookup, pyfuse3.ROOT_INODE, b"k", CALLER)

    assert (entry.st_ino, entry.entry_timeout) == (0, 60.0)


def test_an_unexpected_error_is_eio_and_its_traceback_told_once(caplog: pytest.LogCaptureFixture) -> None:
    served, stats = operations(ZeroDivisionError("oops"))
    for _ in range(3):
        assert told(lambda: served.read(pyfuse3.FileHandleT(1), 0, 1)) == errno.EIO
    assert told(lambda: served.release(pyfuse3.FileHandleT(1))) == errno.EIO

    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False, True]
    assert stats.last_error is not None
    assert "ZeroDivisionError" in stats.last_error


def test_changes_that_a_mount_refuses_are_told_by_their_errno() -> None:
    served, stats = operations(ReadOnly("no"))
    root: Any = pyfuse3.ROOT_INODE
    context: Any = None
    for call, expected in (
        (lambda: served.mkdir(root, b"k", pyfuse3.ModeT(0), context), errno.EROFS),
        (lambda: served.symlink(root, b"k", b"l", context), errno.EROFS),
        (lambda: served.rename(root, b"k", root, b"l", pyfuse3.FlagT(0), context), errno.EXDEV),
    ):
        assert told(call) == expected
    assert stats.fuse_errors == {"EROFS": 2, "EXDEV": 1}


def test_a_key_with_a_newline_in_it_forges_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    served, stats = operations(Unreachable("no answer"))
    served._fs.describe.handle = lambda _handle: "s3://b/k\n2026-01-01 ERROR forged ä"  # type: ignore[method-assign]
    assert told(lambda: served.read(pyfuse3.FileHandleT(1), 0, 1)) == errno.EIO
    assert "\n" not in caplog.records[-1].getMessage()
    assert r"s3://b/k\n2026-01-01 ERROR forged ä" in (stats.last_error or "")
