"""Pushes metrics to a receiver by OTLP over HTTP, in a process of its own: `mountctl metrics --otlp`.

Needs the extra `mountctl-s3[otlp]`, the OpenTelemetry SDK, which brings protocol, retries and its usual environment
variables (OTEL_EXPORTER_OTLP_HEADERS and others). The supervisor knows nothing of it.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from engine.facts import about
from engine.message_ids import METRICS_NOT_PUSHED
from mountctl.errors import MountctlError
from mountctl.metrics.families import collect
from mountctl.metrics.family import PREFIX, Collected, Histogram, Labels, Part, part
from mountctl.told_to_end import ToldToEnd

try:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import export as data
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as _error:
    _missing: ImportError | None = _error
else:
    _missing = None

# Where receivers listen, if the URL names no path.
_PATH: Final = "/v1/metrics"
_NANOSECONDS: Final = 1_000_000_000

_log = logging.getLogger(__name__)


class NoOpenTelemetry(MountctlError):
    """The extra is not installed."""

    exit_code = 1


class WrongEndpoint(MountctlError):
    """The URL is none that can be pushed to."""

    exit_code = 2


def push_for_ever(status: Callable[[], Part], endpoint: str, interval: float) -> int:
    """Push what each status tells until SIGTERM or SIGINT; a failure is logged and the next one is tried in its turn.

    Args:
        status: asks a supervisor; MountctlError: none answers, which is pushed as that.
        endpoint: `http://HOST:4318`, or with a path.
        interval: seconds from one to the next.

    Returns the exit code, 0. Raises NoOpenTelemetry, WrongEndpoint.
    """
    logging.basicConfig(format="%(levelname)s %(message)s")
    exporter = OTLPMetricExporter(endpoint=_url(endpoint))
    ended, over = ToldToEnd(), False
    while not over:
        told: Part | None
        try:
            told = status()
        except MountctlError as error:
            _log.warning("%s", error, extra=about(METRICS_NOT_PUSHED))
            told = None
        if exporter.export(message(told, time.time_ns())) is not data.MetricExportResult.SUCCESS:
            _log.warning("%s did not take the metrics", endpoint, extra=about(METRICS_NOT_PUSHED))
        over = ended.wait(interval)
    exporter.shutdown()
    return 0


def _url(endpoint: str) -> str:
    if _missing is not None:
        raise NoOpenTelemetry(f"pushing needs the extra otlp: pip install 'mountctl-s3[otlp]' ({_missing})")
    told = urlsplit(endpoint)
    if told.scheme not in ("http", "https") or not told.hostname:
        raise WrongEndpoint(f"{endpoint} is no URL of an OTLP receiver, such as http://localhost:4318")
    return told._replace(path=told.path if told.path.strip("/") else _PATH).geturl()


def message(status: Part | None, now: int) -> Any:
    """A status as the SDK's MetricsData.

    Args:
        status: as JSON has it; None: no supervisor answers.
        now: nanoseconds since the epoch.
    """
    supervisor = part(status or {}, "supervisor")
    began = (
        int(datetime.fromisoformat(supervisor["started"]).timestamp() * _NANOSECONDS)
        if "started" in supervisor
        else now
    )
    version = str(supervisor.get("version", ""))
    resource = Resource({"service.name": "mountctl", "service.version": version, "host.name": socket.gethostname()})
    scope = InstrumentationScope("mountctl", version)
    metrics = list(_metrics(status, began, now))
    return data.MetricsData([data.ResourceMetrics(resource, [data.ScopeMetrics(scope, metrics, "")], "")])


def _metrics(status: Part | None, began: int, now: int) -> Iterator[Any]:
    for collected in collect(status):
        family = collected.family
        if collected.samples:
            unit = "s" if family.name.endswith("_seconds") else "By" if family.name.endswith("_bytes") else ""
            yield data.Metric(PREFIX + family.name, family.help, unit, _points(collected, began, now))


def _points(collected: Collected, began: int, now: int) -> Any:
    cumulative = data.AggregationTemporality.CUMULATIVE
    if collected.family.kind == "histogram":
        return data.Histogram([_histogram(*each, began, now) for each in collected.samples], cumulative)
    numbers = [(labels, value) for labels, value in collected.samples if not isinstance(value, Histogram)]
    points = [data.NumberDataPoint(dict(labels), began, now, value) for labels, value in numbers]
    if collected.family.kind == "counter":
        return data.Sum(points, cumulative, is_monotonic=True)
    return data.Gauge(points)


def _histogram(labels: Labels, value: Any, began: int, now: int) -> Any:
    assert isinstance(value, Histogram), "a histogram's samples are"
    bounds = [float(bound) for bound in value.bounds[:-1]]
    unknown: Any = None  # what the least and the most were; it is left out
    return data.HistogramDataPoint(
        dict(labels), began, now, sum(value.counts), value.total, value.counts, bounds, unknown, unknown
    )
