"""One reload with a change of every class, under load; and a supervisor that is killed in the middle of one."""

import os
import time

import pytest

from tests.servers import MotoServer
from tests.service.programs import MiB, fill, reading
from tests.service.running import Running, poll_until

# When the supervisor is killed: seconds after the reload was asked for, which takes about a second.
KILLED_AFTER = (0.0, 0.2, 0.4, 0.6, 0.9)


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    made = moto.bucket()
    fill(moto, made)
    for prefix in ("a/", "b/"):
        moto.put(made, f"{prefix}name", prefix.encode() * MiB)
    return made


def asked(running: Running, name: str) -> dict[str, int]:
    """The requests of a mount's engine, but for its signs of life every ten seconds (engine/health.py)."""
    counts: dict[str, int] = running.mount(name)["stats"]["s3_requests"]
    return {operation: count for operation, count in counts.items() if operation != "HeadBucket"}


def test_each_class_in_one_reload_and_programs_see_no_error_and_only_the_right_engines_are_others(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    plain = {"bucket": bucket}
    running.configure(
        moto, same=plain, gone=plain, live=plain, handed=plain, moved=plain, replaced=plain | {"prefix": "a/"}
    )
    with running.running():
        before = {mount["name"]: mount["engine"]["pid"] for mount in running.status()["mounts"]}
        there = running.mountpoint("there")
        running.configure(
            moto,
            same=plain,
            live=plain | {"debug": True},
            handed=plain | {"uid": 5},
            moved=plain | {"mountpoint": str(there)},
            replaced=plain | {"prefix": "b/"},
            new=plain,
        )
        requests = asked(running, "same")
        moved = os.open(running.mountpoint("moved") / "a" / "name", os.O_RDONLY)
        replaced = os.open(running.mountpoint("replaced") / "name", os.O_RDONLY)
        try:
            with reading(running.mountpoint("handed"), 1), reading(running.mountpoint("live"), 1):
                done = running.run("reload")
            assert (done.returncode, done.stdout.splitlines()) == (
                0,
                [
                    "gone: removed",
                    "handed: handed over",
                    "live: changed live",
                    "moved: moved",
                    "new: added",
                    "replaced: replaced",
                    "same: unchanged",
                ],
            )
            assert os.pread(moved, 2, 2 * MiB - 2) == b"a/"
            assert os.pread(replaced, 2, 2 * MiB - 2) == b"a/"
        finally:
            os.close(moved)
            os.close(replaced)
        after = {mount["name"]: mount["engine"]["pid"] for mount in running.status()["mounts"]}
        assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == {"handed", "replaced"}
        assert asked(running, "same") == requests


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
