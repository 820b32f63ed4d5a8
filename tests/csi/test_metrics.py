"""What Prometheus reads, made of the status of a supervisor with volumes."""

import re
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from mountctl.metrics import exposition
from mountctl.status import State

# The text format: a name, labels whose values escape three characters, a number.
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"(?P<name>mountctl_[a-z0-9_]+)(?:\{{(?P<labels>{LABEL}(?:,{LABEL})*)\}})? (?P<value>[0-9.e+-]+)")

STATUS: dict[str, Any] = {
    "schema": 1,
    "health": "degraded",
    "supervisor": {
        "pid": 7,
        "version": "0.1.0",
        "fd_holder": "filling",
        "config": {"last_reload": {"ok": False, "errors": ["wrong"]}},
    },
    "mounts": [
        {
            "name": "csi-a",
            "source": "s3://data/train/",
            "state": "degraded",
            "reason": "S3 at 10.0.0.1 refused the connection",
            "engine": {"pid": 9, "takeovers": 2, "handovers": 1},
            "backend": {"reachable": False, "error": "refused", "refused": None},
            "credentials": {"source": "web-identity", "expires": "2026-01-02T03:04:05Z", "error": None},
            "stats": {
                "bytes_read": 4096,
                "open_files": 3,
                "s3_requests": {"GetObject": 12, "ListObjectsV2": 1},
                "s3_errors": {"AccessDenied": 2},
                "fuse_errors": {"EACCES": 2},
            },
            "volume": {
                "inline": True,
                "consumers": [
                    {
                        "target": "/var/lib/kubelet/pods/u/mount",
                        "persistent_volume": "",
                        "pod": {"namespace": "team", "name": "job-1"},
                    },
                    {"target": "/elsewhere", "persistent_volume": "pv", "pod": None},
                ],
            },
        }
    ],
}


def samples(text: str) -> dict[str, float]:
    """Each sample as it is written, and its value."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            found[line.rpartition(" ")[0]] = float(match["value"])
    return found


def test_a_mount_is_told_by_its_counters_its_state_and_its_consumers() -> None:
    told = samples(exposition.text(STATUS))

    assert told["mountctl_up"] == 1
    assert told["mountctl_fd_holder_complete"] == 0
    assert told["mountctl_config_last_reload_successful"] == 0
    assert told['mountctl_read_bytes_total{mount="csi-a"}'] == 4096
    assert told['mountctl_s3_requests_total{mount="csi-a",operation="GetObject"}'] == 12
    assert told['mountctl_s3_errors_total{mount="csi-a",code="AccessDenied"}'] == 2
    assert told['mountctl_engine_takeovers_total{mount="csi-a"}'] == 2
    assert told['mountctl_s3_reachable{mount="csi-a"}'] == 0
    assert (
        told['mountctl_credentials_expiry_timestamp_seconds{mount="csi-a"}']
        == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    )
    states = {state: told[f'mountctl_mount_state{{mount="csi-a",state="{state}"}}'] for state in get_args(State)}
    assert [state for state, value in states.items() if value] == ["degraded"]
    [first, second] = [name for name in told if name.startswith("mountctl_volume_consumer_info")]
    assert 'namespace="team",pod="job-1"' in first
    assert 'persistentvolume="pv",namespace="",pod=""' in second


def test_no_supervisor_is_told_by_one_number() -> None:
    assert samples(exposition.text(None)) == {"mountctl_up": 0}


def test_every_metric_is_told_once_with_help_and_type_and_named_after_it() -> None:
    lines = exposition.text(STATUS).splitlines()
    told: list[str] = []
    for line in lines:
        if line.startswith("# HELP "):
            told.append(line.split()[2])
            assert line.endswith(".")
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == told[-1]
            assert (kind == "counter") == name.endswith("_total")
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None
            assert match["name"] == told[-1]
    assert len(told) == len(set(told))


def test_what_is_odd_in_a_name_is_escaped() -> None:
    text = exposition.text({"mounts": [{"name": 'a"b\\c\nd', "state": "ready"}]})
    assert 'mountctl_mount_state{mount="a\\"b\\\\c\\nd",state="ready"} 1' in text.splitlines()
    samples(text)


@pytest.mark.parametrize(
    "status", [{}, {"mounts": [{}]}, {"mounts": [{"name": "a"}]}, {"mounts": [{"name": "a", "volume": None}]}]
)
def test_a_status_of_another_version_is_told_as_far_as_it_is_understood(status: dict[str, Any]) -> None:
    assert samples(exposition.text(status))["mountctl_up"] == 1


def test_errors_in_words_are_not_told() -> None:
    assert "refused the connection" not in exposition.text(STATUS)
