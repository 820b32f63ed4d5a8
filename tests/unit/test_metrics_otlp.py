"""mountctl/metrics/otlp.py: what a receiver gets, by the protocol's own messages."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from engine import latency
from tests.unit.test_metrics_text import mount, status

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra mountctl-s3[otlp]")

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from mountctl.metrics import otlp

BEGAN_NANOSECONDS = 1_000_500_000_000


class Receiver(ThreadingHTTPServer):
    """Takes what is pushed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: Queue[tuple[str, ExportMetricsServiceRequest]] = Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        import gzip

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.got.put((self.path, ExportMetricsServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def metrics(request: Any) -> dict[str, Any]:
    [resource] = request.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def attributes(point: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in point.attributes}


def test_counters_gauges_and_histograms_arrive_as_such() -> None:
    counted = latency.Latencies()
    for seconds in (0.00005, 0.3, 100.0):
        counted.note("read", seconds)
    told = status(
        mount(bytes_read=5, fuse_latencies=counted.buckets(), fuse_microseconds=counted.microseconds(), open_files=2)
    )

    request: Message = encode_metrics(otlp.message(told, 2 * BEGAN_NANOSECONDS))

    found = metrics(request)
    read, opened = found["mountctl_read_bytes"], found["mountctl_open_files"]
    took = found["mountctl_fuse_request_duration_seconds"]
    assert read.sum.is_monotonic
    assert read.unit == "By"
    assert (read.sum.data_points[0].as_int, attributes(read.sum.data_points[0])) == (5, {"mount": "m"})
    assert read.sum.data_points[0].start_time_unix_nano == BEGAN_NANOSECONDS
    assert opened.gauge.data_points[0].as_int == 2
    [point] = took.histogram.data_points
    assert attributes(point) == {"mount": "m", "operation": "read"}
    assert list(point.explicit_bounds) == list(latency.BOUNDS[:-1])
    assert list(point.bucket_counts) == [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert (point.count, point.sum) == (3, pytest.approx(100.30005))
    assert not point.HasField("min")
    assert not point.HasField("max")


def test_a_companion_pushes_until_it_is_ended_also_that_no_supervisor_answers(
    receiver: Receiver, tmp_path: Path
) -> None:
    program = [sys.executable, "-c", "from mountctl.cli import main; main()"]
    command = [*program, "--runtime-dir", str(tmp_path), "metrics", "--otlp", receiver.url]
    with subprocess.Popen([*command, "--interval", "1"], env=os.environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            got = [receiver.got.get(timeout=30) for _ in range(2)]
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 0
    assert "no supervisor" in errors
    for path, request in got:
        assert path == "/v1/metrics"
        assert [point.as_double for point in metrics(request)["mountctl_up"].gauge.data_points] == [0.0]


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://x", "http://", ""])
def test_what_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(otlp.WrongEndpoint, match="http://localhost:4318"):
        otlp.push_for_ever(dict, endpoint, 1.0)
