"""mountctl/status.py: health and the JSON contract; mountctl/status_table.py: the table."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.counted import Stats
from mountctl.status import (
    ConfigStatus,
    CredentialsStatus,
    EngineStatus,
    Health,
    LastReload,
    MountStatus,
    RestoresStatus,
    RestoreStatus,
    State,
    Status,
    SupervisorStatus,
    health,
    utc,
)
from mountctl.status_table import Look, duration, render, size
from mountctl.terminal import COLUMNS

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def mount(name: str = "data", **options: Any) -> MountStatus:
    told: dict[str, Any] = {
        "name": name,
        "mountpoint": f"/mnt/{name}",
        "source": f"s3://bucket/{name}/",
        "state": "ready",
        "since": NOW - timedelta(minutes=5),
    }
    return MountStatus(**(told | options))


def status(*mounts: MountStatus, errors: list[str] | None = None, now: Health = "ready") -> Status:
    reload = LastReload(ok=not errors, errors=errors or [], at=NOW)
    config = ConfigStatus(path="/etc/mountpoint-s3.toml", last_reload=reload)
    supervisor = SupervisorStatus(pid=12, version="1.2.3", generation=4, config=config)
    return Status(schema_version=1, health=now, supervisor=supervisor, mounts=list(mounts))


def table(of: Status) -> str:
    """What a person sees of an answer, which has come as JSON."""
    return render(json.loads(of.model_dump_json()), NOW)


@pytest.mark.parametrize(
    ("states", "reload_ok", "expected"),
    [
        ([], True, "ready"),
        ([], False, "degraded"),
        (["ready", "ready"], True, "ready"),
        (["ready", "ready"], False, "degraded"),
        (["ready", "backoff"], True, "degraded"),
        (["ready", "held"], True, "degraded"),
        (["degraded"], True, "degraded"),
        (["recovering", "failed"], True, "degraded"),
        (["draining"], True, "degraded"),
        (["backoff", "failed", "starting", "held", "stopped"], True, "failed"),
        (["backoff"], False, "failed"),
    ],
)
def test_health_is_the_worst_that_can_be_said(states: list[State], reload_ok: bool, expected: Health) -> None:
    assert health(states, reload_ok=reload_ok) == expected


def test_the_json_has_the_keys_of_the_contract_and_only_those() -> None:
    told = json.loads(status(mount(stats=Stats(bytes_read=7).model_dump())).model_dump_json())

    assert set(told) == {"schema", "health", "supervisor", "mounts"}
    assert told["schema"] == 1
    assert set(told["supervisor"]) == {
        *("pid", "version", "generation", "config", "fd_holder", "fd_holder_reason", "started", "metrics")
    }
    assert told["supervisor"]["config"]["last_reload"] == {"ok": True, "errors": [], "at": "2026-11-22T12:00:00Z"}
    [one] = told["mounts"]
    assert set(one) == {
        *("name", "mountpoint", "source", "state", "since", "reason", "engine", "backend", "stats", "last_error"),
        *("transient", "credentials", "session", "log", "volume", "restores", "cost", "slice"),
    }
    assert one["since"] == "2026-11-22T11:55:00Z"
    assert one["engine"] == {
        "pid": None,
        "started": None,
        "version": None,
        "last_exit": None,
        "takeovers": 0,
        "handovers": 0,
    }
    assert one["backend"] == {"reachable": None, "error": None, "refused": None}
    assert one["credentials"] == {"source": None, "profile": None, "expires": None, "error": None}
    assert one["stats"]["bytes_read"] == 7


def test_a_status_survives_the_wire() -> None:
    original = status(mount(reason="why", engine=EngineStatus(pid=3, started=NOW)))

    assert Status.model_validate_json(original.model_dump_json()) == original


def test_keys_of_a_newer_supervisor_do_no_harm() -> None:
    told = json.loads(status(mount()).model_dump_json())
    told["mounts"][0]["invented_later"] = told["invented_later"] = 1

    assert Status.model_validate(told).mounts[0].name == "data"


def test_times_are_utc_to_the_millisecond() -> None:
    assert utc(1_700_000_000.123456).isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_the_table_shows_a_line_a_mount_and_reasons_beneath() -> None:
    shown = table(
        status(
            mount(engine=EngineStatus(pid=77), stats={"bytes_read": 3 * 1024**3}),
            mount("b", state="backoff", reason="bucket 'b' does not exist", last_error="EIO: x"),
            now="degraded",
        )
    )

    assert shown.splitlines() == [
        "degraded: 2 mounts; supervisor 12, version 1.2.3, generation 4",
        "configuration: /etc/mountpoint-s3.toml",
        "",
        "NAME  STATE    SOURCE             MOUNTPOINT  SINCE  ENGINE  READ",
        "data  ready    s3://bucket/data/  /mnt/data   5m     77      3.0 GiB",
        "b     backoff  s3://bucket/b/     /mnt/b      5m     -       0 B",
        "    bucket 'b' does not exist",
        "    last error: EIO: x",
    ]


@pytest.mark.parametrize(
    ("credentials", "reason", "line"),
    [
        (CredentialsStatus(source="profile", profile="batch"), None, None),
        (CredentialsStatus(source="anonymous"), None, None),
        (CredentialsStatus(source="role", profile="p", expires=NOW + HOUR), None, "role (p); expire in 1h00m"),
        (CredentialsStatus(source="instance", expires=NOW - HOUR), None, "instance; expired 1h00m ago"),
        (
            CredentialsStatus(source="sso", expires=NOW + HOUR, error="the vault is sealed"),
            None,
            "sso; expire in 1h00m; can't be renewed: the vault is sealed",
        ),
        (CredentialsStatus(error="no credentials found"), "no credentials found", None),
        (CredentialsStatus(error="no credentials found"), "another", "none; no credentials found"),
    ],
)
def test_credentials_that_expire_or_cannot_be_had_have_a_line(
    credentials: CredentialsStatus, reason: str | None, line: str | None
) -> None:
    shown = table(status(mount(credentials=credentials, reason=reason))).splitlines()[5:]

    assert shown == [f"    {each}" for each in (reason, line and f"credentials: {line}") if each]


def test_what_s3_restores_is_a_number_and_in_detail_what_and_until_when() -> None:
    def asked(path: str, objects: int, **more: Any) -> RestoreStatus:
        return RestoreStatus(path=path, recursive=path.endswith("d"), objects=objects, asked=NOW, **more)

    within = NOW + timedelta(hours=5, seconds=1)
    restores = RestoresStatus(
        under_way=9,
        next_expected=within,
        requests=[
            asked("/mnt/data/d", 2, tier="Bulk", expected=within),
            asked("/mnt/data/a", 1, expected=NOW),
            asked("/mnt/data/b", 1),
        ],
    )
    answer = json.loads(status(mount(restores=restores)).model_dump_json())

    assert render(answer, NOW).split("\n")[-1] == "    9 restoring, the next expected within 5h00m"
    assert render(answer, NOW, Look(detail=True)).split("\n")[-5:] == [
        "    9 restoring, the next expected within 5h00m",
        "    restoring (Bulk): /mnt/data/d and below: 2, expected within 5h00m",
        "    restoring: /mnt/data/a: 1, expected by now",
        "    restoring: /mnt/data/b: 1",
        "    restoring: 5 elsewhere",
    ]


def test_a_refused_reload_is_told_with_its_errors() -> None:
    shown = table(status(errors=["/etc/x.toml:3: mount.a.prefix: must end in '/'"], now="degraded"))

    assert "the last reload, at 2026-11-22 12:00:00 UTC, was refused and changed nothing:" in shown
    assert "    /etc/x.toml:3: mount.a.prefix: must end in '/'" in shown


def test_nothing_is_wider_than_the_table_however_long_names_paths_and_reasons_are() -> None:
    long = mount(
        "n" * 63, mountpoint="/mnt/" + "d/" * 100 + "end", source="s3://" + "x" * 255 + "/end/", reason="why " * 90
    )
    shown = table(status(long, mount(), errors=["e" * 300]))

    assert max(map(len, shown.splitlines())) <= COLUMNS
    assert "d/end" in shown
    assert "x/end/" in shown


def test_a_reason_cannot_steer_the_terminal() -> None:
    shown = table(status(mount(mountpoint="/mnt/\x1b[2J", reason="a\x1b]0;x\x07\nb")))

    assert not [character for character in shown if not character.isprintable() and character != "\n"]
    assert "    a?]0;x? b" in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0s"), (45.9, "45s"), (60, "1m"), (3599, "59m"), (3900, "1h05m"), (86400, "1d00h"), (1e6, "11d13h")],
)
def test_durations_have_at_most_two_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**2 - 1, "1.0 MiB"), (2 * 1024**5, "2.0 PiB")],
)
def test_sizes_are_in_binary_units(number: float, shown: str) -> None:
    assert size(number) == shown
