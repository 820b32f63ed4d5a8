"""How many fetchers a mount gets: by its option, by the cores that may be used, by what it is meant to reach."""

import os
from pathlib import Path
from typing import Any

import pytest

from engine.fetch.number import connections_of_each, connections_of_engine, number_of, usable_cores
from engine.spec import FETCHERS_MAX, MountSpec


def spec(**options: Any) -> MountSpec:
    return MountSpec(name="m", bucket="bucket", mountpoint="/m", **options)


@pytest.mark.parametrize(("cores", "fetchers"), [(1, 0), (2, 0), (3, 1), (4, 2), (7, 3), (8, 4), (16, 4), (64, 4)])
def test_auto_is_none_up_to_two_cores_and_half_of_more_up_to_four(cores: int, fetchers: int) -> None:
    assert number_of(spec(), cores) == fetchers


@pytest.mark.parametrize("fetchers", [0, 1, FETCHERS_MAX])
def test_a_number_is_taken_whatever_the_cores(fetchers: int) -> None:
    assert number_of(spec(fetchers=fetchers), 1) == fetchers


@pytest.mark.parametrize(("gbps", "fetchers"), [(1, 0), (5, 0), (6, 1), (11, 2), (25, 4), (100, 4)])
def test_auto_is_no_more_than_the_mount_is_meant_to_reach(gbps: int, fetchers: int) -> None:
    assert number_of(spec(maximum_throughput_gbps=gbps), 64) == fetchers


@pytest.mark.parametrize("gbps", [None, 3, 6, 25])
@pytest.mark.parametrize("fetchers", [1, 2, 4])
def test_all_together_have_no_more_connections_than_the_mount_may_have(gbps: int | None, fetchers: int) -> None:
    mount = spec(maximum_throughput_gbps=gbps)
    alone = connections_of_engine(mount, 0)
    assert connections_of_engine(mount, fetchers) + fetchers * connections_of_each(mount, fetchers) <= alone


@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [
        ("max 100000", "max 100000", 64),
        ("200000 100000", "max 100000", 2),
        ("250000 100000", None, 2),
        ("max 100000", "50000 100000", 1),
        ("garbage", None, 64),
        (None, None, 64),
    ],
)
def test_cores_are_those_that_control_groups_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None, above: str | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    group = tmp_path / "groups" / "system.slice" / "mountctl.service"
    group.mkdir(parents=True)
    told = tmp_path / "cgroup"
    told.write_text("1:name=systemd:/elsewhere\n0::/system.slice/mountctl.service\n")
    for path, text in ((group, own), (group.parent, above)):
        if text is not None:
            (path / "cpu.max").write_text(text + "\n")
    assert usable_cores(told, tmp_path / "groups") == cores


def test_without_control_groups_cores_are_those_of_the_cpu_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {1, 5, 7})
    assert usable_cores(tmp_path / "none") == 3
