"""Counters of one engine: plain attributes that every floor may bump, read by the heartbeat. No I/O."""

import errno
from collections import Counter
from collections.abc import Callable

from engine.link import Backend, Stats


class EngineStats:
    """What an engine counts since it started. `snapshot` makes the message of it."""

    def __init__(self) -> None:
        self.bytes_read = 0
        self.bytes_written = 0
        self.s3_requests: Counter[str] = Counter()
        self.s3_errors: Counter[str] = Counter()
        self.s3_retries = 0
        self.s3_bytes_received = 0
        self.s3_bytes_sent = 0  # of bodies, attempts that failed included
        self.fuse_requests: Counter[str] = Counter()
        self.fuse_errors: Counter[str] = Counter()
        self.inodes = 0
        self.open_files = 0
        self.open_directories = 0
        self.uploads = 0
        self.hidden_names = 0
        self.arena_bytes = 0
        self.answers = 0  # of S3, whatever they said
        self.backend = Backend()
        self.backend_changed: Callable[[], None] = lambda: None
        self.last_error: str | None = None

    def answered(self) -> None:
        """S3 gave an answer (any below 500): the backend is there."""
        self.answers += 1
        if self.backend.reachable is not True:
            self.backend = Backend(reachable=True)
            self.backend_changed()

    def unreachable(self, reason: str) -> None:
        """A request got no answer, or only 5xx, after a retry."""
        if self.backend.reachable is not False or self.backend.error != reason:
            self.backend = Backend(reachable=False, error=reason)
            self.backend_changed()

    def fuse_error(self, number: int) -> None:
        """A program was told this errno."""
        self.fuse_errors[errno.errorcode.get(number, str(number))] += 1

    def snapshot(self) -> Stats:
        """The counters as a message."""
        return Stats(
            bytes_read=self.bytes_read,
            bytes_written=self.bytes_written,
            s3_requests=dict(self.s3_requests),
            s3_errors=dict(self.s3_errors),
            s3_retries=self.s3_retries,
            s3_bytes_received=self.s3_bytes_received,
            s3_bytes_sent=self.s3_bytes_sent,
            fuse_requests=dict(self.fuse_requests),
            fuse_errors=dict(self.fuse_errors),
            inodes=self.inodes,
            open_files=self.open_files,
            open_directories=self.open_directories,
            uploads=self.uploads,
            hidden_names=self.hidden_names,
            arena_bytes=self.arena_bytes,
        )
