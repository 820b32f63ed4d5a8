"""mountctl/metrics: a status as text, judged by prometheus_client's parsers."""

import re
import shutil
import subprocess
from typing import Any, Final

import pytest

from engine import latency
from engine.counted import Stats
from mountctl.metrics import exposition
from mountctl.metrics.families import ALL
from mountctl.metrics.family import PREFIX, Family, Part, Sample
from mountctl.status import ConfigStatus, EngineStatus, LastReload, MountStatus, Status, SupervisorStatus, utc
from tests.metrics_text import parsed

HOSTILE: Final = 'a"b\\c\nd} 1'
BEGAN: Final = utc(1_000.5)


def status(*mounts: MountStatus) -> dict[str, Any]:
    config = ConfigStatus(path="/x", last_reload=LastReload(ok=False, errors=["password"], at=BEGAN))
    supervisor = SupervisorStatus(pid=1, version="1.2", generation=3, started=BEGAN, config=config)
    return Status(health="ready", supervisor=supervisor, mounts=list(mounts)).model_dump(mode="json")


def mount(name: str = "m", source: str = "s3://b/", **stats: Any) -> MountStatus:
    return MountStatus(
        name=name,
        mountpoint="/m",
        source=source,
        state="degraded",
        since=BEGAN,
        reason="a reason with a secret in it",
        engine=EngineStatus(pid=7, takeovers=2),
        stats=Stats(**stats).model_dump(),
    )


@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_a_status_tells_is_read_by_a_parser(openmetrics: bool) -> None:
    counted = latency.Latencies()
    for seconds in (0.00005, 0.001, 0.3, 100.0):
        counted.note("read", seconds)
    answered = latency.Latencies(latency.S3_BOUNDS)
    for seconds in (0.001, 0.02, 0.02, 100.0):
        answered.note("GetObject", seconds)
    told = status(
        mount(
            bytes_read=5,
            s3_answers={"GetObject 206": 4},
            s3_latencies=answered.buckets(),
            s3_microseconds=answered.microseconds(),
            fuse_latencies=counted.buckets(),
            fuse_microseconds=counted.microseconds(),
        )
    )

    found = parsed(exposition.text(told, openmetrics=openmetrics), openmetrics=openmetrics)

    assert found.value("mountctl_up") == 1
    assert found.value("mountctl_supervisor_info", version="1.2") == 1
    assert found.value("mountctl_supervisor_start_time_seconds") == 1000.5
    assert found.value("mountctl_config_last_reload_successful") == 0
    assert found.value("mountctl_config_generation") == 3
    assert found.value("mountctl_engines") == 1
    assert found.value("mountctl_read_bytes_total", mount="m") == 5
    assert found.value("mountctl_s3_responses_total", mount="m", operation="GetObject", status="206") == 4
    assert found.value("mountctl_engine_takeovers_total", mount="m") == 2
    assert found.value("mountctl_mount_state", mount="m", state="degraded") == 1
    assert found.value("mountctl_mount_state", mount="m", state="ready") == 0
    duration = {"mount": "m", "operation": "read"}
    buckets = [found.value("mountctl_fuse_request_duration_seconds_bucket", **duration, le=le) for le in latency.NAMES]
    assert buckets == [1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4]
    assert found.value("mountctl_fuse_request_duration_seconds_count", **duration) == 4
    assert found.value("mountctl_fuse_request_duration_seconds_sum", **duration) == pytest.approx(100.30105)
    of_s3, name = {"mount": "m", "operation": "GetObject"}, "mountctl_s3_request_duration_seconds"
    buckets = [found.value(f"{name}_bucket", **of_s3, le=le) for le in latency.S3_NAMES]
    assert buckets == [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert found.value(f"{name}_sum", **of_s3) == pytest.approx(100.041)


def test_units_are_told_where_there_is_a_word_for_them() -> None:
    text = exposition.text(status(mount(bytes_read=5)), openmetrics=True)

    assert "# UNIT mountctl_read_bytes bytes\n" in text
    assert "# UNIT mountctl_mount_state_since_timestamp_seconds seconds\n" in text
    assert "# UNIT mountctl_mount_state " not in text
    assert "# UNIT" not in exposition.text(status(mount(bytes_read=5))), "Prometheus' own format knows none"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus")
def test_promtool_has_nothing_against_what_is_told() -> None:
    counted = latency.Latencies()
    counted.note("read", 0.2)
    by_kind: dict[str, Any] = {name: {"x": 1} for name in ("s3_requests", "s3_errors", "fuse_requests", "fuse_errors")}
    buckets = {"fuse_latencies": counted.buckets(), "s3_latencies": counted.buckets()}
    told = status(mount(s3_answers={"GetObject 206": 4}, **by_kind, **buckets))
    told["supervisor"]["fd_holder"] = "present"
    told["mounts"][0] |= {
        "cost": {"currency": "USD", "total": 1.5, "today": 0.5},
        "backend": {"reachable": True},
        "credentials": {"expires": BEGAN.isoformat()},
        "session": {"waiting": 1},
        "engine": {"version": "1.2", "started": BEGAN.isoformat(), "takeovers": 1, "handovers": 0},
        "volume": {"consumers": [{"target": "/t"}]},
    }
    text = exposition.text(told)
    assert {family.sample_name for family in ALL} <= set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))

    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_labels_are_escaped_and_reasons_are_nobodys_label() -> None:
    text = exposition.text(status(mount(HOSTILE, fuse_errors={HOSTILE: 1}, fuse_latencies={"50%d": {"1.0": 1}})))

    assert parsed(text).value("mountctl_fuse_errors_total", mount=HOSTILE, errno=HOSTILE) == 1
    assert parsed(text).value("mountctl_fuse_request_duration_seconds_count", mount=HOSTILE, operation="50%d") == 1
    assert "secret" not in text
    assert "password" not in text


def test_buckets_of_an_engine_of_another_version_are_added_in_their_place() -> None:
    text = exposition.text(status(mount(fuse_latencies={"read": {"0.002": 3, "0.005": 1}})))

    found = parsed(text)

    values = [
        found.value("mountctl_fuse_request_duration_seconds_bucket", mount="m", operation="read", le=le)
        for le in ("0.001", "0.002", "0.005", "+Inf")
    ]
    assert values == [0, 3, 4, 4]


def test_the_next_scrape_has_what_came_since_of_each_mount() -> None:
    def counts(one: int, other: int) -> list[str]:
        told = status(
            mount("one", fuse_latencies={"read": {"1.0": one}}), mount("b", fuse_latencies={"read": {"1.0": other}})
        )
        return [
            line.rpartition(" ")[2] for line in exposition.text(told).splitlines() if "duration_seconds_count" in line
        ]

    assert counts(1, 2) == ["1", "2"]
    assert counts(1, 2) == ["1", "2"]
    assert counts(1, 3) == ["1", "3"]
    assert counts(0, 3) == ["0", "3"]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_is_told_of_many_mounts_stands_together_by_family(openmetrics: bool) -> None:
    counted = latency.Latencies()
    counted.note("read", 0.2)
    stats: dict[str, Any] = {"fuse_latencies": counted.buckets(), "s3_answers": {"GetObject 206": 4}}
    text = exposition.text(status(*[mount(f"m{number}", **stats) for number in range(3)]), openmetrics=openmetrics)

    sections = [section.splitlines() for section in re.split(r"^# HELP ", text, flags=re.MULTILINE)[1:]]

    names = [section[0].split()[0] for section in sections]
    assert len(names) == len(set(names))
    for name, lines in zip(names, sections, strict=True):
        assert all(re.match(rf"({name}(_\w+)?[{{ ]|# (TYPE|UNIT) {name} |# EOF)", line) for line in lines[1:]), name
    assert parsed(text, openmetrics=openmetrics).value("mountctl_read_bytes_total", mount="m2") == 0


def test_a_mount_that_is_as_it_was_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []

    def samples(of: Part) -> list[Sample]:
        read.append((of["name"], of["stats"]["inodes"]))
        return [((), of["stats"]["inodes"])]

    monkeypatch.setattr(exposition, "MOUNTS", (Family("seen", "gauge", "What was read.", samples),))

    def told(a: int, b: int) -> list[str]:
        text = exposition.text(status(mount("still a", inodes=a), mount("still b", inodes=b)))
        return [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("mountctl_seen")]

    assert told(1, 2) == ["1", "2"]
    assert told(1, 2) == ["1", "2"]
    assert told(1, 3) == ["1", "3"]
    assert read == [("still a", 1), ("still b", 2), ("still b", 3)]


def test_of_a_mount_that_is_gone_nothing_is_told_or_kept() -> None:
    exposition.text(status(mount("stays"), mount("goes")))

    text = exposition.text(status(mount("stays")))

    assert 'mount="stays"' in text
    assert 'mount="goes"' not in text
    assert exposition._mounts_told.keys() == {"stays"}


def test_without_a_supervisor_only_that_is_told() -> None:
    assert parsed(exposition.text(None)).samples == {("mountctl_up", frozenset()): 0}


def test_a_status_of_another_version_tells_what_it_has() -> None:
    told = parsed(exposition.text({"mounts": [{"name": "m"}, {}], "supervisor": {}})).samples

    assert ("mountctl_up", frozenset()) in told


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_names_are_as_openmetrics_wants_them(family: Any) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", family.name)
    assert not family.name.startswith(PREFIX)
    assert not family.name.endswith(("_total", "_info", "_count", "_sum", "_bucket"))
    assert not re.search(r"_(ms|milliseconds|kib|mib|percent)\b", family.name)
    assert family.help.endswith(".") or ";" in family.help


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.3", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        (";;,=;q=", False),
    ],
)
def test_who_prefers_openmetrics_gets_it(accept: str, wanted: bool) -> None:
    assert exposition.wants_openmetrics(accept) is wanted
