"""Which metrics there are. Read by exposition.py, otlp.py and docs/generate.py. Pure.

Names are as OpenMetrics wants them: base units, `_total` for what only grows, `_info` for what is told by labels.
Labels are few, and `mount` is the one to join by. No reason and no error in words is a label: each new one would be a
series. Reads any version's status: what is not in it is left out.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, get_args

from mountctl.metrics.family import Collected, Family, Histogram, Labels, Part, Sample, part
from mountctl.status import State

_Reader = Callable[[Part], Iterable[Sample]]

_MICROSECONDS: Final = 1e6
_INFINITE: Final = "+Inf"


def collect(status: Part | None) -> Iterator[Collected]:
    """All that a status (the answer of /v1/status) tells; None: no supervisor answers. Families without samples too."""
    yield from of_supervisor(status)
    mounts = [((("mount", name),), mount) for name, mount in named_mounts(status)]
    for family in MOUNTS:
        read = family.samples
        yield Collected(family, [(name + labels, value) for name, mount in mounts for labels, value in read(mount)])


def of_supervisor(status: Part | None) -> Iterator[Collected]:
    """What is told of no single mount."""
    yield Collected(UP, [((), float(status is not None))])
    if status is not None:
        for family in SUPERVISOR:
            yield Collected(family, list(family.samples(status)))


def named_mounts(status: Part | None) -> list[tuple[str, Part]]:
    """The mounts of a status, each with its name."""
    mounts = () if status is None else status.get("mounts", ())
    return [(str(each["name"]), each) for each in mounts if "name" in each]


def _number(*path: str) -> _Reader:
    """A number in the status."""
    *parts, key = path

    def samples(of: Part) -> Iterator[Sample]:
        for name in parts:
            of = part(of, name)
        if (value := of.get(key)) is not None:
            yield (), float(value)

    return samples


def _time(*path: str) -> _Reader:
    """A moment, in seconds since the epoch."""
    *parts, key = path

    def samples(of: Part) -> Iterator[Sample]:
        for name in parts:
            of = part(of, name)
        if told := of.get(key):
            yield (), datetime.fromisoformat(told).timestamp()

    return samples


def _whether_told(section: str, key: str) -> _Reader:
    """1 if something is told there, such as an error; 0 if it is null."""

    def samples(mount: Part) -> Iterator[Sample]:
        yield (), float(part(mount, section).get(key) is not None)

    return samples


def _stat(key: str) -> _Reader:
    """A counter or gauge of the engine."""

    def samples(mount: Part) -> Iterable[Sample]:
        value = part(mount, "stats").get(key)
        return () if value is None else (((), value),)

    return samples


def _stats_by(label: str, key: str) -> _Reader:
    """Counters of the engine by what was done, or went wrong."""

    def samples(mount: Part) -> Iterator[Sample]:
        for what, count in sorted(part(part(mount, "stats"), key).items()):
            yield ((label, what),), count

    return samples


def _s3_answers(mount: Part) -> Iterator[Sample]:
    for what, count in sorted(part(part(mount, "stats"), "s3_answers").items()):
        operation, _, status = what.rpartition(" ")
        yield (("operation", operation), ("status", status)), count


def _latencies(whose: str, ours: tuple[str, ...]) -> _Reader:
    """How long what `whose` answers took; `ours`: the buckets that there are at least."""
    known = frozenset(ours)

    def samples(mount: Part) -> Iterator[Sample]:
        stats = part(mount, "stats")
        totals = part(stats, f"{whose}_microseconds")
        for verb, counted in sorted(part(stats, f"{whose}_latencies").items()):
            bounds = ours if counted.keys() <= known else tuple(sorted(known | counted.keys(), key=float))
            counts = tuple([counted.get(bound, 0) for bound in bounds])
            yield (("operation", verb),), Histogram(bounds, counts, totals.get(verb, 0) / _MICROSECONDS)

    return samples


def _state(mount: Part) -> Iterator[Sample]:
    state = mount.get("state")
    for labels, name in _STATES:
        yield labels, 1.0 if name == state else 0.0


def _mount_info(mount: Part) -> Iterator[Sample]:
    credentials = part(mount, "credentials").get("source") or ""
    inline = str(bool(part(mount, "volume").get("inline"))).lower()
    yield (("source", mount.get("source", "")), ("credentials", credentials), ("inline", inline)), 1.0


def _engine_info(mount: Part) -> Iterator[Sample]:
    if version := part(mount, "engine").get("version"):
        yield (("version", version),), 1.0


def _consumers(mount: Part) -> Iterator[Sample]:
    for consumer in part(mount, "volume").get("consumers") or ():
        pod = part(consumer, "pod")
        labels = (
            ("persistentvolume", consumer.get("persistent_volume", "")),
            ("namespace", pod.get("namespace", "")),
            ("pod", pod.get("name", "")),
            ("target", consumer.get("target", "")),
        )
        yield labels, 1.0


def _reachable(mount: Part) -> Iterator[Sample]:
    if (reachable := part(mount, "backend").get("reachable")) is not None:
        yield (), float(reachable)


def _cost(key: str) -> _Reader:
    def samples(mount: Part) -> Iterator[Sample]:
        cost = part(mount, "cost")
        if key in cost:
            yield (("currency", cost.get("currency", "")),), cost[key]

    return samples


def _supervisor_info(status: Part) -> Iterator[Sample]:
    yield (("version", part(status, "supervisor").get("version", "")),), 1.0


def _engines(status: Part) -> Iterator[Sample]:
    yield (), float(sum(part(mount, "engine").get("pid") is not None for mount in status.get("mounts", [])))


def _holder(status: Part) -> Iterator[Sample]:
    if (holder := part(status, "supervisor").get("fd_holder")) is not None:
        yield (), float(holder == "present")


# The buckets of engine/latency.py; an engine of another version may have others besides.
_OUR_BOUNDS: Final = (
    *("0.0001", "0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "5.0", "30.0"),
    _INFINITE,
)
_S3_BOUNDS: Final = _OUR_BOUNDS[2:]
_STATES: Final[tuple[tuple[Labels, str], ...]] = tuple(((("state", state),), state) for state in get_args(State))

UP: Final = Family("up", "gauge", "Whether a supervisor answers.", lambda _: ())

SUPERVISOR: Final = (
    Family("supervisor", "info", "The supervisor's version.", _supervisor_info, ("version",)),
    Family(
        "supervisor_start_time_seconds",
        "gauge",
        "When the supervisor began, since the epoch.",
        _time("supervisor", "started"),
    ),
    Family("engines", "gauge", "Engines that run now.", _engines),
    Family("fd_holder_complete", "gauge", "Whether the other pod has all that a next supervisor needs.", _holder),
    Family(
        "config_generation",
        "gauge",
        "Configurations that the supervisor has carried out since it began.",
        _number("supervisor", "generation"),
    ),
    Family(
        "config_last_reload_successful",
        "gauge",
        "Whether the configuration was right when it was read last.",
        _number("supervisor", "config", "last_reload", "ok"),
    ),
    Family(
        "config_last_reload_timestamp_seconds",
        "gauge",
        "When the configuration was read last.",
        _time("supervisor", "config", "last_reload", "at"),
    ),
)

MOUNTS: Final = (
    Family("mount", "info", "What is mounted.", _mount_info, ("source", "credentials", "inline")),
    Family("mount_state", "gauge", "1 for the state that the mount is in, 0 for the others.", _state, ("state",)),
    Family("mount_state_since_timestamp_seconds", "gauge", "When the mount came into its state.", _time("since")),
    Family(
        "volume_consumer",
        "info",
        "Who uses the volume, and where.",
        _consumers,
        ("persistentvolume", "namespace", "pod", "target"),
    ),
    Family("read_bytes", "counter", "What programs have read, the kernel's cache aside.", _stat("bytes_read")),
    Family("written_bytes", "counter", "What programs have written.", _stat("bytes_written")),
    Family(
        "fuse_requests",
        "counter",
        "Requests of programs that reached the engine.",
        _stats_by("operation", "fuse_requests"),
        ("operation",),
    ),
    Family(
        "fuse_request_duration_seconds",
        "histogram",
        "How long programs waited for their answers.",
        _latencies("fuse", _OUR_BOUNDS),
        ("operation", "le"),
    ),
    Family("fuse_requests_in_progress", "gauge", "Requests that the engine is answering now.", _stat("answering")),
    Family(
        "fuse_requests_waiting",
        "gauge",
        "Requests without an answer, by the kernel's word.",
        _number("session", "waiting"),
    ),
    Family("fuse_errors", "counter", "Errors that programs were told.", _stats_by("errno", "fuse_errors"), ("errno",)),
    Family(
        "s3_requests",
        "counter",
        "Requests to S3, repeated ones included.",
        _stats_by("operation", "s3_requests"),
        ("operation",),
    ),
    Family("s3_responses", "counter", "Answers of S3 by HTTP status.", _s3_answers, ("operation", "status")),
    Family(
        "s3_request_duration_seconds",
        "histogram",
        "How long S3 took to begin its answers, from the request's first byte on.",
        _latencies("s3", _S3_BOUNDS),
        ("operation", "le"),
    ),
    Family(
        "s3_errors",
        "counter",
        "What was asked of S3 and failed for good, retries included.",
        _stats_by("code", "s3_errors"),
        ("code",),
    ),
    Family("s3_retries", "counter", "Requests to S3 that were repeated.", _stat("s3_retries")),
    Family("s3_throttles", "counter", "Answers of S3 that asked to slow down.", _stat("s3_throttles")),
    Family("s3_hedges", "counter", "Requests made because an answer lagged behind its like.", _stat("s3_hedges")),
    Family("s3_received_bytes", "counter", "Bodies that S3 has sent, read ahead included.", _stat("s3_bytes_received")),
    Family("s3_sent_bytes", "counter", "Bodies sent to S3, of attempts that failed too.", _stat("s3_bytes_sent")),
    Family("s3_reachable", "gauge", "Whether S3 answers the mount; not told while nothing is known.", _reachable),
    Family(
        "s3_refused", "gauge", "Whether S3 answers, and lets the mount do nothing.", _whether_told("backend", "refused")
    ),
    Family(
        "s3_request_cost",
        "counter",
        "Price of the requests to S3, as far back as is kept.",
        _cost("total"),
        ("currency",),
    ),
    Family(
        "s3_request_cost_today",
        "gauge",
        "Price of the requests to S3 since midnight, UTC.",
        _cost("today"),
        ("currency",),
    ),
    Family("open_files", "gauge", "Files that programs have open.", _stat("open_files")),
    Family("open_directories", "gauge", "Directories that programs have open.", _stat("open_directories")),
    Family("uploads", "gauge", "Files being written that are not complete in S3 yet.", _stat("uploads")),
    Family("inodes", "gauge", "Names that the engine knows.", _stat("inodes")),
    Family("hidden_names", "counter", "Keys that listings left out, as they are no names.", _stat("hidden_names")),
    Family("buffer_bytes", "gauge", "Memory that holds data now.", _stat("arena_bytes")),
    Family("buffer_limit_bytes", "gauge", "Memory that may hold data: memory-target.", _stat("arena_bytes_max")),
    Family("fetchers", "gauge", "Fetcher processes that run now.", _stat("fetchers")),
    Family("engine", "info", "The version of the engine's code.", _engine_info, ("version",)),
    Family("engine_start_time_seconds", "gauge", "When the engine began, since the epoch.", _time("engine", "started")),
    Family(
        "engine_takeovers",
        "counter",
        "Engines that took the mount over from one that was gone.",
        _number("engine", "takeovers"),
    ),
    Family("engine_handovers", "counter", "Engines that took it over as planned.", _number("engine", "handovers")),
    Family(
        "credentials_expiry_timestamp_seconds",
        "gauge",
        "When the mount's keys expire, since the epoch; subtract time() for the seconds left.",
        _time("credentials", "expires"),
    ),
    Family(
        "credentials_failing",
        "gauge",
        "Whether there are no keys, or no newer ones to be had.",
        _whether_told("credentials", "error"),
    ),
)

ALL: Final = (UP, *SUPERVISOR, *MOUNTS)
