"""What Prometheus is told: the supervisor's status as its text format, version 0.0.4. Pure: no I/O, no clock.

Served at /metrics beside /healthz. Names are as OpenMetrics wants them: base units, `_total` for what only grows,
`_info` for what is told by labels. Counters of a mount begin anew with its engine, which Prometheus knows how to read.
Labels are few, and `mount` is the one to join by; which pods use a mount is told by mountctl_volume_consumer_info.
The format is a line a sample, and needs no library of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from mountctl.status import State

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Part = Mapping[str, Any]
_Sample = tuple[Mapping[str, Any], float]
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True)
class _Family:
    """A metric.

    Args:
        name: without `mountctl_`.
        kind: its type.
        help: one sentence.
        samples: of a mount: labels beside `mount`, and the value.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Callable[[_Part], Iterable[_Sample]]


def render(status: _Part | None) -> str:
    """The text for an answer of /v1/status (mountctl/status.py); None: no supervisor answers.

    Takes any version's: what is not in it is left out. Says no reason and no error in words, which are not for labels.
    """
    lines = _family("up", "gauge", "Whether a supervisor answers.", [({}, float(status is not None))])
    if status is not None:
        lines += _supervisor(status)
        mounts = [mount for mount in status.get("mounts", []) if "name" in mount]
        for family in _FAMILIES:
            samples = [
                ({"mount": mount["name"], **labels}, value)
                for mount in mounts
                for labels, value in family.samples(mount)
            ]
            lines += _family(family.name, family.kind, family.help, samples)
    return "".join(f"{line}\n" for line in lines)


def _supervisor(status: _Part) -> list[str]:
    supervisor = _part(status, "supervisor")
    lines = _family(
        "supervisor_info", "gauge", "The supervisor's version.", [({"version": supervisor.get("version", "")}, 1.0)]
    )
    reload = _part(_part(supervisor, "config"), "last_reload")
    if (holder := supervisor.get("fd_holder")) is not None:
        lines += _family(
            "fd_holder_complete",
            "gauge",
            "Whether the other pod has all that a next supervisor needs to carry on.",
            [({}, float(holder == "present"))],
        )
    good: list[_Sample] = [({}, float(reload["ok"]))] if "ok" in reload else []
    return lines + _family(
        "config_last_reload_successful", "gauge", "Whether the configuration was right when it was read last.", good
    )


def _family(name: str, kind: str, text: str, samples: Iterable[_Sample]) -> list[str]:
    lines = [f"mountctl_{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return [f"# HELP mountctl_{name} {text}", f"# TYPE mountctl_{name} {kind}", *lines] if lines else []


def _labels(labels: Mapping[str, Any]) -> str:
    text = ",".join(f'{key}="{str(value).translate(_ESCAPES)}"' for key, value in labels.items())
    return f"{{{text}}}" if text else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _part(of: _Part, key: str) -> _Part:
    """A part that may be missing, or null."""
    return of.get(key) or {}


def _stat(key: str) -> Callable[[_Part], Iterator[_Sample]]:
    """A counter of the engine."""

    def samples(mount: _Part) -> Iterator[_Sample]:
        if key in (stats := _part(mount, "stats")):
            yield {}, stats[key]

    return samples


def _stats_by(label: str, key: str) -> Callable[[_Part], Iterator[_Sample]]:
    """Counters of the engine by what was done, or went wrong."""

    def samples(mount: _Part) -> Iterator[_Sample]:
        for what, count in sorted(_part(_part(mount, "stats"), key).items()):
            yield {label: what}, count

    return samples


def _engine(key: str) -> Callable[[_Part], Iterator[_Sample]]:
    def samples(mount: _Part) -> Iterator[_Sample]:
        if key in (engine := _part(mount, "engine")):
            yield {}, engine[key]

    return samples


def _info(mount: _Part) -> Iterator[_Sample]:
    volume = _part(mount, "volume")
    yield (
        {
            "source": mount.get("source", ""),
            "credentials": _part(mount, "credentials").get("source") or "",
            "inline": str(bool(volume.get("inline"))).lower(),
        },
        1.0,
    )


def _state(mount: _Part) -> Iterator[_Sample]:
    for state in get_args(State):
        yield {"state": state}, float(mount.get("state") == state)


def _consumers(mount: _Part) -> Iterator[_Sample]:
    for consumer in _part(mount, "volume").get("consumers") or ():
        pod = _part(consumer, "pod")
        yield (
            {
                "persistentvolume": consumer.get("persistent_volume", ""),
                "namespace": pod.get("namespace", ""),
                "pod": pod.get("name", ""),
                "target": consumer.get("target", ""),
            },
            1.0,
        )


def _reachable(mount: _Part) -> Iterator[_Sample]:
    if (reachable := _part(mount, "backend").get("reachable")) is not None:
        yield {}, float(reachable)


def _refused(mount: _Part) -> Iterator[_Sample]:
    yield {}, float(_part(mount, "backend").get("refused") is not None)


def _expiry(mount: _Part) -> Iterator[_Sample]:
    if expires := _part(mount, "credentials").get("expires"):
        yield {}, datetime.fromisoformat(expires).timestamp()


def _credentials_failing(mount: _Part) -> Iterator[_Sample]:
    yield {}, float(_part(mount, "credentials").get("error") is not None)


_FAMILIES: Final = (
    _Family("mount_info", "gauge", "What is mounted.", _info),
    _Family("mount_state", "gauge", "1 for the state that the mount is in, 0 for the others.", _state),
    _Family("volume_consumer_info", "gauge", "Who uses the volume, and where.", _consumers),
    _Family("read_bytes_total", "counter", "What programs have read.", _stat("bytes_read")),
    _Family("written_bytes_total", "counter", "What programs have written.", _stat("bytes_written")),
    _Family("fuse_requests_total", "counter", "Requests of programs.", _stats_by("operation", "fuse_requests")),
    _Family("fuse_errors_total", "counter", "Errors that programs were told.", _stats_by("errno", "fuse_errors")),
    _Family("s3_requests_total", "counter", "Requests to S3.", _stats_by("operation", "s3_requests")),
    _Family("s3_errors_total", "counter", "Requests to S3 that failed for good.", _stats_by("code", "s3_errors")),
    _Family("s3_retries_total", "counter", "Requests to S3 that were repeated.", _stat("s3_retries")),
    _Family("s3_hedges_total", "counter", "Requests made because an answer lagged behind.", _stat("s3_hedges")),
    _Family("s3_received_bytes_total", "counter", "What S3 has sent.", _stat("s3_bytes_received")),
    _Family("s3_sent_bytes_total", "counter", "What was sent to S3.", _stat("s3_bytes_sent")),
    _Family("s3_reachable", "gauge", "Whether S3 answers the mount.", _reachable),
    _Family("s3_refused", "gauge", "Whether S3 answers, and lets the mount do nothing.", _refused),
    _Family("open_files", "gauge", "Files that programs have open.", _stat("open_files")),
    _Family("uploads", "gauge", "Files being written that are not complete in S3 yet.", _stat("uploads")),
    _Family("inodes", "gauge", "Names that are known.", _stat("inodes")),
    _Family("buffer_bytes", "gauge", "Memory that holds data now.", _stat("arena_bytes")),
    _Family("fetchers", "gauge", "Fetcher processes that run now.", _stat("fetchers")),
    _Family(
        "engine_takeovers_total", "counter", "Engines that took the mount over from a dead one.", _engine("takeovers")
    ),
    _Family("engine_handovers_total", "counter", "Engines that took it over as planned.", _engine("handovers")),
    _Family("credentials_expiry_timestamp_seconds", "gauge", "When the mount's keys expire.", _expiry),
    _Family(
        "credentials_failing", "gauge", "Whether there are no keys, or no newer ones to be had.", _credentials_failing
    ),
)
