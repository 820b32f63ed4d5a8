"""Limits of mounts: names of units, what control groups of either version tell, and what systemd is asked for."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from engine.spec import MiB, MountSpec
from mountctl.config.load import examine
from mountctl.supervisor.slices import asking, cgroups, here, units
from mountctl.supervisor.slices.slices import Slices

UNIT = "mountctl-data.slice"
SCOPE = f"/mountctl.slice/{UNIT}/mountctl-data-7.scope"
UNIFIED = f"0::{SCOPE}\n"
HYBRID = f"4:memory:{SCOPE}\n3:cpu,cpuacct:/mountctl.slice/{UNIT}\n2:name=systemd:{SCOPE}\n0::{SCOPE}\n"


def spec(name: str = "data", **options: Any) -> MountSpec:
    return MountSpec(name=name, bucket="some-bucket", mountpoint=f"/mnt/{name}", **options)


def write(top: Path, **files: str) -> None:
    """Files of a control group. `__` in a name is a dot."""
    top.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (top / name.replace("__", ".")).write_text(f"{text}\n")


def unified(top: Path, **files: str) -> Path:
    """Version 2 alone, with all controllers."""
    write(top, cgroup__controllers="cpu io memory")
    write(top / f"mountctl.slice/{UNIT}", **files)
    return top


def hybrid(top: Path, **files: str) -> Path:
    """The controllers in version 1, and version 2 beside it."""
    write(top / f"unified/mountctl.slice/{UNIT}", cgroup__procs="")
    write(top / "unified", cgroup__controllers="hugetlb")
    for controller in ("memory", "cpu"):
        write(top / f"{controller}/mountctl.slice/{UNIT}", **files)
    return top


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, ()),
        ({"memory_target": 16}, ()),
        ({"memory_max": 640, "memory_high": 640}, ("memory-max", "memory-high")),
        ({"cpu_weight": 50}, ("cpu-weight",)),
        ({"slice": "a.slice"}, ("slice",)),
    ],
)
def test_only_a_mount_with_a_limit_needs_a_slice(options: dict[str, Any], asked: tuple[str, ...]) -> None:
    assert units.asked(spec(**options)) == asked


def told(directory: Path, *lines: str) -> list[str]:
    path = directory / "m.toml"
    path.write_text("\n".join(lines))
    return [str(each).removeprefix(f"{directory}/") for each in examine(path).problems]


ELSE = ", and all else takes up to 128; raise it, or lower memory-target"
MOUNT = ("[mount.a]", 'bucket = "aaa"', 'mountpoint = "/mnt/a"')


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            ["memory-max = 639"],
            f"memory-max: memory-max must be at least 640, not 639: memory-target is 512{ELSE}",
        ),
        (
            ["memory-high = 200", "memory-target = 73"],
            f"memory-high: memory-high must be at least 201, not 200: memory-target is 73{ELSE}",
        ),
        (
            ["memory-high = 700", "memory-max = 640"],
            "memory-high: memory-high must be at most memory-max, 640, not 700: it would never be reached",
        ),
        (["memory-max = 1"], "memory-max: must be between 144 and 2097152, not 1"),
        (["cpu-weight = 0"], "cpu-weight: must be between 1 and 10000, not 0"),
        (['slice = "-.slice"'], "slice: must be a slice of systemd, such as 'batch.slice', and not the root '-.slice'"),
        (
            ['slice = "a--b.slice"'],
            "slice: must be a slice of systemd, such as 'batch.slice', and not the root '-.slice'",
        ),
        (
            ['slice = "a.service"'],
            "slice: must be a slice of systemd, such as 'batch.slice', and not the root '-.slice'",
        ),
    ],
)
def test_limits_that_can_not_be_are_one_clear_error(tmp_path: Path, lines: list[str], problem: str) -> None:
    assert told(tmp_path, *MOUNT, *lines) == [f"m.toml:4:1: mount.a.{problem}"]


def test_a_limit_for_all_is_judged_by_the_memory_target_of_each(tmp_path: Path) -> None:
    for table in ("[defaults]", "[template.small]"):
        use = ['use = "small"'] if "small" in table else []
        limit = (table, "memory-max = 400")
        assert told(tmp_path, *limit, *MOUNT, *use, "memory-target = 256") == []
        [problem] = told(tmp_path, *limit, *MOUNT, *use)
        assert "memory-max must be at least 640, not 400" in problem
        assert "mount.a" in problem


def test_names_of_units_are_systemds() -> None:
    assert units.own_slice(spec(memory_max=640)) == UNIT
    assert units.own_slice(spec("my-data.1", slice="a-b.slice")) == r"a-b-my\x2ddata.1.slice"
    assert units.scope_in(UNIT, 7) == "mountctl-data-7.scope"
    assert units.is_slice_of(r"a-b-my\x2ddata.slice", "my-data")
    assert not units.is_slice_of(r"a-b-my\x2ddata.slice", "data")


def test_a_slice_is_told_every_limit_so_that_none_stays_that_is_not_wanted() -> None:
    asked = spec(memory_max=640, cpu_weight=50)
    assert units.limits(asked) == ("MemoryHigh=infinity", f"MemoryMax={640 * MiB}", "CPUWeight=50")
    assert units.limits(spec(slice="a.slice")) == units.NO_LIMITS


def test_a_scope_is_told_what_its_systemd_knows() -> None:
    told = units.scope_properties([7, 8], UNIT, "mountctl.service", 252)
    assert ("PIDs", "au", "2", "7", "8") in told
    assert ("Before", "as", "1", "mountctl.service") in told
    newer = units.scope_properties([7, 8], UNIT, None, 253)
    assert set(newer) - set(told) == {("OOMPolicy", "s", "continue")}
    assert set(told) - set(newer) == {("Before", "as", "1", "mountctl.service")}


def test_limits_are_read_where_version_2_is_alone(tmp_path: Path) -> None:
    top = unified(tmp_path, memory__max=str(640 * MiB), memory__current="4096", cpu__weight="50")
    write(top / f"mountctl.slice/{UNIT}", memory__events="low 0\nhigh 9\nmax 8\noom 3\noom_kill 5")
    found = cgroups.parse(UNIFIED)
    memory = cgroups.group_of(found, UNIT, "memory", top)

    assert memory is not None
    assert (memory.memory_bytes, memory.memory_max_bytes, memory.times_full) == (4096, 640 * MiB, 3)
    assert list(cgroups.unmet(found, UNIT, spec(memory_max=640, memory_high=640, cpu_weight=50), top)) == []
    assert list(cgroups.unmet(found, UNIT, spec(memory_max=639 + 1), top)) == []
    assert cgroups.place_of(found, UNIT, top) == tmp_path / f"mountctl.slice/{UNIT}"


def test_limits_are_read_where_controllers_are_of_version_1(tmp_path: Path) -> None:
    files = {"memory__limit_in_bytes": str(640 * MiB), "memory__usage_in_bytes": "4096", "memory__failcnt": "3"}
    top = hybrid(tmp_path, cpu__shares="512", **files)
    found = cgroups.parse(HYBRID)
    memory = cgroups.group_of(found, UNIT, "memory", top)

    assert memory is not None
    assert (memory.memory_bytes, memory.memory_max_bytes, memory.times_full) == (4096, 640 * MiB, 3)
    assert list(cgroups.unmet(found, UNIT, spec(memory_max=640, cpu_weight=50), top)) == []
    [told] = cgroups.unmet(found, UNIT, spec(memory_high=640), top)
    assert told == "memory-high takes cgroup v2, and here the memory controller is of v1"
    assert cgroups.place_of(found, UNIT, top) == tmp_path / f"unified/mountctl.slice/{UNIT}"


def test_a_limit_that_is_not_in_force_is_told(tmp_path: Path) -> None:
    found, asked = cgroups.parse(UNIFIED), spec(memory_max=640, memory_high=640, cpu_weight=50)
    without = [f"{key}: the control groups here have no {controller} controller" for key, controller in _CONTROLLERS]
    assert list(cgroups.unmet(found, UNIT, asked, unified(tmp_path))) == without
    for value in ("max", str(641 * MiB)):
        top = unified(tmp_path, memory__max=value, cpu__weight="50")
        assert list(cgroups.unmet(found, UNIT, asked, top)) == ["memory-max is not what systemd has set"]
    elsewhere = cgroups.parse("0::/system.slice/mountctl.service\n")
    assert not cgroups.is_in(elsewhere, UNIT)
    assert list(cgroups.unmet(elsewhere, UNIT, asked, unified(tmp_path))) == without


_CONTROLLERS = (("memory-high", "memory"), ("memory-max", "memory"), ("cpu-weight", "cpu"))


def test_what_a_host_lacks_is_known_before_anything_runs(tmp_path: Path) -> None:
    asked = spec(memory_max=640, memory_high=640, cpu_weight=50, slice="a.slice")
    assert list(cgroups.lacking(asked, unified(tmp_path / "2"))) == []
    assert list(cgroups.lacking(asked, hybrid(tmp_path / "1"))) == [
        "memory-high takes cgroup v2, and here the memory controller is of v1"
    ]
    assert len(list(cgroups.lacking(asked, tmp_path / "none"))) == 3


def test_a_process_and_its_children_are_a_tree() -> None:
    assert cgroups.tree(os.getpid())[0] == os.getpid()
    assert os.getpid() in cgroups.tree(os.getppid())
    assert cgroups.tree(2**22 + 1) == []


def test_a_host_without_systemd_is_told_by_the_option_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "no_systemd", lambda: "there is none")
    assert here.unmet(spec(memory_target=16)) is None
    assert here.unmet(spec(memory_max=640, cpu_weight=1)) == "memory-max, cpu-weight: there is none"


class Systemd:
    """Does what it is asked: processes are where they are moved to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.paths: dict[int, str] = {}
        self.refuses = False
        monkeypatch.setattr(asking, "no_systemd", lambda: None)
        monkeypatch.setattr(asking, "set_limits", self.set_limits)
        monkeypatch.setattr(asking, "start_scope", self.start_scope)
        monkeypatch.setattr(asking, "version", self.version)
        monkeypatch.setattr(asking, "stop", self.stop)
        monkeypatch.setattr(cgroups, "paths", lambda pid: cgroups.parse(f"0::{self.paths.get(pid, '/')}"))
        monkeypatch.setattr(cgroups, "tree", lambda pid: [pid])
        monkeypatch.setattr(cgroups, "unmet", lambda *_: iter(()))
        monkeypatch.setattr(cgroups, "lacking", lambda *_: iter(()))
        monkeypatch.setattr(cgroups, "is_empty", self.is_empty)

    async def set_limits(self, unit: str, limits: Sequence[str]) -> None:
        self._ask(f"{unit} {' '.join(limits)}")

    async def version(self) -> int:
        return 252

    async def start_scope(self, name: str, properties: Sequence[units.Property]) -> None:
        told = {each[0]: each[2:] for each in properties}
        [unit], [_count, *pids] = told["Slice"], told["PIDs"]
        self._ask(f"{', '.join(pids)} to {name}")
        self.paths |= dict.fromkeys(map(int, pids), f"/{unit}/{name}")

    async def stop(self, units: Sequence[str]) -> None:
        self._ask(f"stop {' '.join(units)}")

    def is_empty(self, place: Path) -> bool:
        return not any(place.name in PurePosixPath(path).parts for path in self.paths.values())

    def _ask(self, what: str) -> None:
        if self.refuses:
            raise asking.Refused("systemd does not answer")
        self.asked.append(what)


def mounted(asked: MountSpec, *pids: int) -> Any:
    return SimpleNamespace(spec=asked, engines=SimpleNamespace(pids=list(pids)))


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(monkeypatch)


class Looking:
    """Slices, and looks at mounts, one after the other."""

    def __init__(self) -> None:
        self.slices = Slices()

    def look(self, *mounts: Any) -> None:
        """At these, as a supervisor does that has just begun, and has these already."""

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.slices.run, lambda: mounts)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

        trio.run(main)


ASKED = spec(memory_max=640)
TOLD = f"{UNIT} MemoryHigh=infinity MemoryMax={640 * MiB} CPUWeight="


def test_an_engine_and_its_successor_are_moved_once_and_the_slice_is_told_once(systemd: Systemd) -> None:
    looking = Looking()
    looking.look(mounted(ASKED, 7))
    looking.look(mounted(ASKED, 7))
    looking.look(mounted(ASKED, 7, 8))

    assert systemd.asked == [TOLD, "7 to mountctl-data-7.scope", "8 to mountctl-data-8.scope"]
    status = looking.slices.status(ASKED)
    assert status is not None
    assert (status.name, status.trouble) == (UNIT, None)


def test_a_slice_is_stopped_when_its_mount_is_gone_and_nobody_is_in_it(systemd: Systemd) -> None:
    looking = Looking()
    looking.look(mounted(ASKED, 7))
    looking.look()
    assert systemd.asked[2:] == [f"{UNIT} {' '.join(units.NO_LIMITS)}"]
    systemd.paths.clear()
    looking.look()
    looking.look()
    assert systemd.asked[3:] == [f"stop {UNIT}"]


def test_limits_that_a_supervisor_before_has_set_are_taken_away_if_the_file_has_them_no_longer(
    systemd: Systemd,
) -> None:
    systemd.paths[7] = SCOPE
    Looking().look(mounted(spec(), 7))
    assert systemd.asked == [f"{UNIT} {' '.join(units.NO_LIMITS)}"]


def test_a_slice_above_that_is_called_like_a_mount_is_not_taken_for_its_own(systemd: Systemd) -> None:
    asked = spec(memory_max=640, slice="some-data.slice")
    systemd.paths[7] = "/some.slice/some-data.slice/some-data-data.slice/some-data-data-7.scope"
    looking = Looking()
    looking.look(mounted(asked, 7))
    looking.look(mounted(spec(slice="some-data.slice"), 7))
    assert {each.split()[0] for each in systemd.asked} == {"some-data-data.slice"}


def test_who_is_silent_is_asked_no_more_of_the_others(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def silent(unit: str, _limits: Sequence[str]) -> None:
        calls.append(unit)
        raise asking.Silent("systemd does not answer")

    monkeypatch.setattr(asking, "set_limits", silent)
    Looking().look(mounted(ASKED, 7), mounted(spec("other", memory_max=640), 8))
    assert calls == [UNIT]


def test_an_engine_that_is_gone_says_nothing_of_limits(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking()
    looking.look(mounted(ASKED, 7))
    monkeypatch.setattr(cgroups, "paths", lambda _pid: {})
    monkeypatch.setattr(cgroups, "tree", lambda _pid: [])
    monkeypatch.setattr(cgroups, "unmet", lambda *_: iter(["all"]))
    looking.look(mounted(ASKED, 9))
    status = looking.slices.status(ASKED)
    assert status is not None
    assert status.trouble is None


def test_a_systemd_that_refuses_is_told_and_asked_again(systemd: Systemd) -> None:
    looking = Looking()
    systemd.refuses = True
    looking.look(mounted(ASKED, 7))
    status = looking.slices.status(ASKED)
    assert status is not None
    assert status.trouble == "systemd does not answer"

    systemd.refuses = False
    looking.look(mounted(ASKED, 7))
    status = looking.slices.status(ASKED)
    assert status is not None
    assert status.trouble is None


def test_what_is_true_of_other_limits_is_not_told_of_those_that_are_wanted_now(systemd: Systemd) -> None:
    looking = Looking()
    assert looking.slices.status(spec()) is None
    looking.look(mounted(ASKED, 7))
    status = looking.slices.status(spec(memory_max=700))
    assert status is not None
    assert status.trouble == "systemd is being asked"


def test_a_name_that_makes_no_unit_is_told(systemd: Systemd) -> None:
    asked = spec(f"a{62 * '-'}", memory_max=640)
    looking = Looking()
    looking.look(mounted(asked, 7))
    status = looking.slices.status(asked)
    assert status is not None
    assert status.trouble is not None
    assert "give the mount a shorter name" in status.trouble
    assert systemd.asked == []
