"""Pushes metrics to a receiver by OTLP over HTTP, in a process of its own: `mountctl metrics --otlp`.

Needs the extra `mountctl-s3[otlp]`, the OpenTelemetry SDK, which brings protocol, retries and its usual environment
variables (OTEL_EXPORTER_OTLP_HEADERS and others). The supervisor knows nothing of it.
"""

import logging
import socket
import threading
import time
from collections import deque
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
# As UCUM, and so OTLP, calls them.
_UNITS: Final = {"seconds": "s", "bytes": "By"}
_NANOSECONDS: Final = 1_000_000_000
# The supervisor has ten seconds to answer, and the SDK gives a receiver ten, with its retries. But who sends a byte now
# and then has it wait for ever.
PUSH_SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class NoOpenTelemetry(MountctlError):
    """The extra is not installed."""

    exit_code = 1


class WrongEndpoint(MountctlError):
    """The URL is none that can be pushed to."""

    exit_code = 2


class Pusher:
    """Pushes what each status tells, in a thread of its own, as a receiver may take its time.

    Args:
        status: asks a supervisor; MountctlError: none answers, which is pushed as that.
        exporter: the SDK's.
        endpoint: for messages.
        interval: seconds from one to the next.
    """

    def __init__(self, status: Callable[[], Part], exporter: Any, endpoint: str, interval: float) -> None:
        self._status = status
        self._exporter = exporter
        self._endpoint = endpoint
        self._interval = interval
        self._said = _LastWords()
        self._failing = False
        self._began: float | None = None  # the present push; None: it is not time for one
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)

    def start(self) -> None:
        """Begin with the first one."""
        self._said.listen()
        self._thread.start()

    def trouble(self) -> str | None:
        """Why nothing will ever be pushed again; None: all is well, as far as is known."""
        began = self._began
        if not self._thread.is_alive():
            return "it has ended by an internal error"
        if began is not None and (seconds := time.monotonic() - began) > PUSH_SECONDS_MAX:
            return f"{self._endpoint} neither takes the metrics nor refuses them, since {seconds:.0f} s"
        return None

    def _run(self) -> None:
        never = threading.Event()
        while True:
            self._began = time.monotonic()
            self._push()
            self._began = None
            never.wait(self._interval)

    def _push(self) -> None:
        told: Part | None
        try:
            told = self._status()
        except MountctlError as error:
            _log.warning("%s", error, extra=about(METRICS_NOT_PUSHED))
            told = None
        done = self._exporter.export(message(told, time.time_ns())) is data.MetricExportResult.SUCCESS
        if not done and not self._failing:
            text = "%s did not take the metrics, and is tried again: %s"
            _log.warning(text, self._endpoint, self._said.text, extra=about(METRICS_NOT_PUSHED))
        elif done and self._failing:
            _log.info("%s takes the metrics again", self._endpoint, extra=about(METRICS_NOT_PUSHED))
        self._failing = not done


class _LastWords(logging.Handler):
    """What the SDK logged last, instead of its logging it: why an attempt failed, and that it makes no more."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: deque[str] = deque(maxlen=2)

    @property
    def text(self) -> str:
        return "; ".join(self._texts) or "it does not say why"

    def listen(self) -> None:
        logger = logging.getLogger("opentelemetry")
        logger.handlers[:] = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())


def push_for_ever(status: Callable[[], Part], endpoint: str, interval: float) -> int:
    """Push what each status tells until SIGTERM or SIGINT; one that fails is logged, and the next is tried in its turn.

    Args:
        status: see Pusher.
        endpoint: `http://HOST:4318`, or with a path.
        interval: seconds from one to the next.

    Returns the exit code: 0, or 1 when a receiver has it hang; whoever started it starts it again. Raises
    NoOpenTelemetry, WrongEndpoint.
    """
    url = _url(endpoint)
    ended = ToldToEnd()
    pusher = Pusher(status, OTLPMetricExporter(endpoint=url), endpoint, interval)
    pusher.start()
    while not ended.wait(_LOOK_SECONDS):
        if (trouble := pusher.trouble()) is not None:
            _log.error("metrics are not pushed any more: %s", trouble, extra=about(METRICS_NOT_PUSHED))
            return 1
    return 0  # at once: a push that is under way matters less than whoever waits for this end


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
            unit = _UNITS.get(family.unit, "")
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
