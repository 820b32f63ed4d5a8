"""`mountctl plan`: what is told of each change, what is hidden, and the exit code."""

from pathlib import Path

import pytest
import trio

from engine.spec import MountSpec
from mountctl.config.diff import diff
from mountctl.plan import KeyChange, MountPlan, Plan, render, shown
from mountctl.supervisor.planning import notice
from tests.unit.controlled import Supervisor, serving
from tests.unit.test_cli import mountctl

NOTHING = MountPlan(name="same", action="nothing", notice="nothing: it is not touched")
CHANGE = MountPlan(
    name="data",
    action="handover",
    keys=[KeyChange(key="uid", before=None, after=5), KeyChange(key="region", before="a", after="b")],
    notice="nothing but a short wait",
)


def test_a_person_sees_each_change_with_its_keys_and_the_others_counted() -> None:
    assert render(Plan(mounts=[CHANGE, NOTHING])).splitlines() == [
        "data: handover",
        "    uid: (not set) -> 5",
        '    region: "a" -> "b"',
        "    nothing but a short wait",
        "1 other mount is not touched",
    ]
    assert render(Plan(mounts=[NOTHING, NOTHING])) == "nothing to do: 2 mounts are as the file says"


@pytest.mark.parametrize("value", [5, True, None, ["a", "b"]])
def test_what_is_no_text_is_shown_as_it_is(value: object) -> None:
    assert shown(value) == value


def test_of_a_mount_that_is_not_served_nobody_notices_anything() -> None:
    spec = MountSpec(name="a", bucket="bucket", mountpoint="/mnt/a")
    changes = diff({"a": spec}, {"a": spec.model_copy(update={"prefix": "x/"})})

    assert notice(changes["a"], None) == "nothing: it is not mounted now, but gone"


def test_plan_is_0_for_nothing_2_for_changes_and_1_for_errors(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        def ask(*options: str) -> tuple[int, str, str]:
            done = mountctl("plan", *options, "--runtime-dir", runtime_dir)
            return done.returncode, done.stdout, done.stderr

        supervisor.planned = Plan(mounts=[NOTHING])
        assert await trio.to_thread.run_sync(ask) == (0, "nothing to do: 1 mount is as the file says\n", "")
        supervisor.planned = Plan(mounts=[NOTHING, CHANGE])
        code, out, _ = await trio.to_thread.run_sync(ask, "--json")
        assert (code, Plan.model_validate_json(out)) == (2, supervisor.planned)
        supervisor.planned = Plan(errors=["x.toml:3: mount.a: no bucket"])
        told = "mountctl: a reload would be refused: x.toml:3: mount.a: no bucket\n"
        assert await trio.to_thread.run_sync(ask) == (1, "", told)

    serving(tmp_path, body)


def test_plan_without_a_supervisor_is_1_and_one_sentence(tmp_path: Path) -> None:
    done = mountctl("plan", "--runtime-dir", tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mountctl: no supervisor")
