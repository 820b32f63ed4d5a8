"""mountctl/metrics/otlp.py: what a receiver gets, by the protocol's own messages."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import latency
from tests.unit.test_metrics_text import mount, status

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra mountctl-s3[otlp]")

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from engine.message_ids import METRICS_NOT_PUSHED
from mountctl.metrics import otlp
from tests.otlp_receiver import Receiver, hanging, metrics, receiving

BEGAN_NANOSECONDS = 1_000_500_000_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


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


@contextmanager
def pushing(work: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    program = [sys.executable, "-c", "from mountctl.cli import main; main()"]
    command = [*program, "--runtime-dir", str(work), "metrics", "--otlp", url, "--interval", "1"]
    environment = os.environ | {"MOUNTCTL_LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """SIGTERM, of which it ends well. What it logged."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in errors.splitlines()]


def test_a_companion_pushes_until_it_is_ended_also_that_no_supervisor_answers(
    receiver: Receiver, tmp_path: Path
) -> None:
    with pushing(tmp_path, receiver.url) as process:
        got = [receiver.got.get(timeout=30) for _ in range(2)]
        told = end(process)

    assert any("no supervisor" in each["message"] for each in told)
    for path, request in got:
        assert path == "/v1/metrics"
        assert [point.as_double for point in metrics(request)["mountctl_up"].gauge.data_points] == [0.0]


def test_a_receiver_that_comes_later_gets_what_is_pushed_then(tmp_path: Path) -> None:
    with receiving() as first:
        port = int(first.server_address[1])
    with pushing(tmp_path, f"http://127.0.0.1:{port}") as process:
        assert process.stderr is not None
        while "did not take the metrics" not in (line := process.stderr.readline()):
            assert line, "it has ended"
        assert json.loads(line)["message_id"] == METRICS_NOT_PUSHED.id
        assert "refused" in line, "the SDK's word, which says why"
        with receiving(port) as receiver:
            receiver.got.get(timeout=30)
            while "takes the metrics again" not in process.stderr.readline():
                pass
            end(process)


def test_a_receiver_that_hangs_keeps_nobody_from_ending(tmp_path: Path) -> None:
    connected = threading.Event()
    with hanging(connected.set) as url, pushing(tmp_path, url) as process:
        assert connected.wait(30)
        end(process)


def test_a_push_that_never_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the one that looks, which ends the process: its unit starts another."""
    begun, over = threading.Event(), threading.Event()

    class Dripping:
        def export(self, _data: Any) -> Any:
            begun.set()
            over.wait()

    pusher = otlp.Pusher(dict, Dripping(), "http://x", 1.0)
    pusher.start()
    assert begun.wait(30)
    assert pusher.trouble() is None
    monkeypatch.setattr(otlp, "PUSH_SECONDS_MAX", 0.0)
    assert "neither takes the metrics nor refuses them" in (pusher.trouble() or "")
    over.set()


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; from mountctl.cli import main; main()"
    command = [sys.executable, "-c", code, "--runtime-dir", str(tmp_path), "metrics", "--otlp", "http://localhost:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert done.stderr.startswith("mountctl: pushing needs the extra otlp: pip install 'mountctl-s3[otlp]'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://x", "http://", ""])
def test_what_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(otlp.WrongEndpoint, match="http://localhost:4318"):
        otlp.push_for_ever(dict, endpoint, 1.0)
