"""One reload with a change of every class, under load; and a supervisor that is killed in the middle of one."""

import contextlib
import os
import time
from typing import Any, Final

import pytest

from tests.servers import MotoServer
from tests.service.programs import MiB, fill, filled, reading
from tests.service.running import Running, poll_until

# When the supervisor is killed: seconds after the reload was asked for, which takes about a second.
KILLED_AFTER = (0.0, 0.2, 0.4, 0.6, 0.9)


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    return filled(moto, "a/", "b/")


def asked(running: Running, name: str) -> dict[str, int]:
    """The requests of a mount's engine, but for its signs of life every ten seconds (engine/health.py)."""
    counts: dict[str, int] = running.mount(name)["stats"]["s3_requests"]
    return {operation: count for operation, count in counts.items() if operation != "HeadBucket"}


# So many mounts of each class of change.
COUNTS: Final = {"same": 3, "gone": 2, "live": 3, "handed": 4, "moved": 3, "replaced": 3, "new": 2}
# What becomes of them.
RESULTS: Final = {
    "gone": "removed",
    "handed": "handed over",
    "live": "changed live",
    "moved": "moved",
    "new": "added",
    "replaced": "replaced",
    "same": "unchanged",
}
# Those that programs open, read, list and stat by name meanwhile. The others of each class are idle, or read from files
# that stay open.
READ: Final = ("same0", "live0", "live1", "handed0", "handed1", "handed2", "replaced0", "replaced1")


def names(kind: str) -> list[str]:
    return [f"{kind}{number}" for number in range(COUNTS[kind])]


def test_20_mounts_with_each_class_in_one_reload_and_programs_see_no_error_and_only_the_right_engines_are_others(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    for prefix in ("a/", "b/"):
        fill(moto, bucket, prefix)
    plain: dict[str, Any] = {"bucket": bucket}
    before = {name: dict(plain) for kind in COUNTS if kind != "new" for name in names(kind)}
    after = {name: dict(plain) for kind in COUNTS if kind != "gone" for name in names(kind)}
    for name in names("live"):
        after[name]["debug"] = True
    for name in names("handed"):
        after[name]["uid"] = 5
    for name in names("moved"):
        after[name]["mountpoint"] = str(running.mountpoint(f"there-{name}"))
    for name in names("replaced"):
        before[name]["prefix"], after[name]["prefix"] = "a/", "b/"
    running.configure(moto, **before)
    with running.running(), contextlib.ExitStack() as opened:
        pids = {mount["name"]: mount["engine"]["pid"] for mount in running.status()["mounts"]}
        idle = {name: asked(running, name) for name in ("same1", "same2")}
        places = dict.fromkeys(names("moved"), "a/name") | dict.fromkeys(names("replaced"), "name")
        files = []
        for name, path in places.items():
            files.append(os.open(running.mountpoint(name) / path, os.O_RDONLY))
            opened.callback(os.close, files[-1])
        running.configure(moto, **after)
        with contextlib.ExitStack() as load:
            for name in READ:
                load.enter_context(reading(running.mountpoint(name), 1))
            done = running.run("reload")
        assert (done.returncode, done.stdout.splitlines()) == (
            0,
            sorted(f"{name}: {result}" for kind, result in RESULTS.items() for name in names(kind)),
        ), done.stderr
        for file in files:
            # What lies far behind was not read ahead.
            assert os.pread(file, 2, 2 * MiB - 2) == b"a/"
        now = {mount["name"]: mount["engine"]["pid"] for mount in running.status()["mounts"]}
        assert now.keys() == after.keys()
        assert {name for name in pids.keys() & now.keys() if pids[name] != now[name]} == {
            *names("handed"),
            *names("replaced"),
        }
        assert {name: asked(running, name) for name in idle} == idle


@pytest.mark.slow
@pytest.mark.parametrize("seconds", KILLED_AFTER)
def test_a_supervisor_that_is_killed_in_the_middle_of_a_reload_leaves_the_old_or_the_new(
    running: Running, moto: MotoServer, bucket: str, seconds: float
) -> None:
    names = [f"m{number}" for number in range(4)]
    running.configure(moto, **{name: {"bucket": bucket, "prefix": "a/"} for name in names}, moved={"bucket": bucket})
    running.start()
    running.wait_for_states("ready")
    there = running.mountpoint("there")
    running.configure(
        moto,
        **{name: {"bucket": bucket, "prefix": "b/"} for name in names},
        moved={"bucket": bucket, "mountpoint": str(there)},
    )
    assert running.process is not None
    running.process.send_signal(1)
    time.sleep(seconds)  # the moment is what is tested
    running.crash()

    with running.running():
        # What it adopts it serves at once, and then changes it as by a reload.
        sources = [f"s3://{bucket}/"] + [f"s3://{bucket}/b/"] * len(names)
        poll_until(lambda: sorted(m["source"] for m in running.status()["mounts"]) == sources, "the file's mounts")
        running.wait_for_states("ready")
        poll_until(lambda: str(running.mountpoint("moved")) not in running.mounted(), "the move")
        for name in names:
            assert (running.mountpoint(name) / "name").read_bytes()[:2] == b"b/"
        assert (there / "a" / "name").exists()
        assert sorted(running.mounted()) == sorted([*(str(running.mountpoint(name)) for name in names), str(there)])
