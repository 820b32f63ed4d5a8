"""Counters of one engine: plain attributes that every floor may bump, read by the heartbeat. No I/O."""

import errno
from collections import Counter
from collections.abc import Callable

from engine.counted import Stats
from engine.latency import S3_BOUNDS, Latencies
from engine.link import Backend


class EngineStats:
    """What an engine counts since it started. `snapshot` makes the message of it."""

    def __init__(self) -> None:
        self.bytes_read = 0
        self.bytes_written = 0
        self.s3_requests: Counter[str] = Counter()
        self.s3_answers: Counter[str] = Counter()  # `OPERATION STATUS`
        self.s3_latencies = Latencies(S3_BOUNDS)
        self.s3_errors: Counter[str] = Counter()
        self.s3_retries = 0
        self.s3_throttles = 0
        self.s3_hedges = 0
        self.s3_bytes_received = 0
        self.s3_bytes_sent = 0  # of bodies, attempts that failed included
        self.fuse_requests: Counter[str] = Counter()
        self.latencies = Latencies()
        self.answering = 0
        self.fuse_errors: Counter[str] = Counter()
        self.inodes = 0
        self.open_files = 0
        self.open_directories = 0
        self.uploads = 0
        self.hidden_names = 0
        self.arena_bytes = 0
        self.arena_bytes_max = 0
        self.fetchers = 0
        self.answers = 0  # of S3, whatever they said
        self.denials = 0  # requests that S3 let nobody do, for good: 403
        self.backend = Backend()
        self._lifted_by: str | None = None  # the operation whose success ends a refusal; None: any
        self.backend_changed: Callable[[], None] = lambda: None
        self.last_error: str | None = None

    def answered(self) -> None:
        """S3 gave an answer (any below 500): the backend is there."""
        self.answers += 1
        if self.backend.reachable is not True:
            self._know(self.backend.model_copy(update={"reachable": True, "error": None}))

    def unreachable(self, reason: str) -> None:
        """A request got no answer, or only 5xx, after a retry."""
        self._know(self.backend.model_copy(update={"reachable": False, "error": reason}))

    def refused(self, reason: str, *, lifted_by: str | None = None) -> None:
        """S3 answers and lets this mount do nothing, until it does what is asked again.

        `lifted_by`: the operation that must succeed for that; None: any.
        """
        self._lifted_by = lifted_by
        self._know(self.backend.model_copy(update={"refused": reason}))

    def accepted(self, operation: str) -> None:
        """S3 did what was asked."""
        if self.backend.refused is not None and self._lifted_by in (None, operation):
            self._know(self.backend.model_copy(update={"refused": None}))

    def _know(self, backend: Backend) -> None:
        if backend != self.backend:
            self.backend = backend
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
            s3_answers=dict(self.s3_answers),
            s3_latencies=self.s3_latencies.buckets(),
            s3_microseconds=self.s3_latencies.microseconds(),
            s3_errors=dict(self.s3_errors),
            s3_retries=self.s3_retries,
            s3_throttles=self.s3_throttles,
            s3_hedges=self.s3_hedges,
            s3_bytes_received=self.s3_bytes_received,
            s3_bytes_sent=self.s3_bytes_sent,
            fuse_requests=dict(self.fuse_requests),
            fuse_latencies=self.latencies.buckets(),
            fuse_microseconds=self.latencies.microseconds(),
            answering=self.answering,
            fuse_errors=dict(self.fuse_errors),
            inodes=self.inodes,
            open_files=self.open_files,
            open_directories=self.open_directories,
            uploads=self.uploads,
            hidden_names=self.hidden_names,
            arena_bytes=self.arena_bytes,
            arena_bytes_max=self.arena_bytes_max,
            fetchers=self.fetchers,
        )
