"""Volumes and their consumers when something dies, is replaced, or is lost: targets go on, or are bound anew."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from mountctl.supervisor.abilities import FORCE_VARIABLE
from tests.csi.asking import Asking
from tests.servers import MotoServer
from tests.service.poison import POISONED, end_of, looking_up
from tests.service.running import WAIT_SECONDS_MAX, Running, poll_until

_ROOT: Final = Path(__file__).parent.parent.parent

# A container: it has a mount namespace of its own, in which it sees what is mounted for it later if it is a slave.
_CONTAINER: Final = """
import os, sys
path = sys.argv[1]
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(open(os.path.join(path, line.strip())).read(), flush=True)
    except OSError as error:
        print(f"errno {error.errno}", flush=True)
"""


@pytest.fixture
def bound(asking: Asking, bucket: str) -> Asking:
    """A volume, `data`, at the target `a` for writing and at `b` read-only."""
    asking.apply("data", "a", bucket=bucket)
    asking.apply("data", "b", bucket=bucket, read_only=True)
    return asking


def state_file(running: Running) -> Path:
    (found,) = (running.work / "state" / "volumes").iterdir()
    return found


def reads(asking: Asking, *targets: str) -> bool:
    """Whether each target gives the object."""
    try:
        return all((asking.target(each) / "x").read_bytes() == b"x" for each in targets)
    except OSError:
        return False


def is_read_only(asking: Asking, target: str) -> bool:
    return bool(os.statvfs(asking.target(target)).f_flag & os.ST_RDONLY)


def test_the_state_file_is_roots_alone(bound: Asking) -> None:
    path = state_file(bound.running)
    assert path.stat().st_mode & 0o777 == 0o600
    kept = json.loads(path.read_text())["volumes"]["data"]
    assert [each["target"] for each in kept["consumers"]] == [str(bound.target("a")), str(bound.target("b"))]


def test_targets_and_open_files_go_on_when_the_supervisor_is_killed(bound: Asking) -> None:
    engine = bound.running.mount("data")["engine"]["pid"]
    with (bound.target("a") / "x").open("rb") as file:
        bound.running.crash()
        assert reads(bound, "a", "b")
        bound.running.start()
        mount = bound.running.wait_for("data", "ready")
        assert file.read() == b"x"

    assert mount["engine"]["pid"] == engine
    assert [each["target"] for each in mount["volume"]["consumers"]] == [str(bound.target("a")), str(bound.target("b"))]
    assert not bound.apply("data", "a", bucket=mount["source"][5:-1]).fresh
    assert bound.release("a").gone is False
    assert bound.release("b").gone is True


def test_an_engine_that_is_killed_is_no_trouble_of_a_target(bound: Asking) -> None:
    with (bound.target("a") / "x").open("rb") as file:
        os.kill(bound.running.mount("data")["engine"]["pid"], signal.SIGKILL)
        assert file.read() == b"x"
    assert reads(bound, "a", "b")


def test_supervisor_and_all_it_held_are_killed_and_targets_are_bound_anew(bound: Asking) -> None:
    engine, holder = bound.running.mount("data")["engine"]["pid"], bound.running.holder()
    assert holder is not None
    bound.running.crash()
    os.kill(holder, signal.SIGKILL)
    os.kill(engine, signal.SIGKILL)
    poll_until(lambda: not reads(bound, "a"), "the mount to be dead")

    bound.running.start()
    bound.running.wait_for("data", "ready")
    poll_until(lambda: reads(bound, "a", "b"), "both targets to be bound again")
    assert is_read_only(bound, "b")
    assert not is_read_only(bound, "a")
    # The dead one may stay below, as containers get what is mounted on it, but goes with the target.
    assert bound.running.mounted().count(str(bound.target("a"))) <= 2
    bound.release("a")
    assert bound.running.mounted().count(str(bound.target("a"))) == 0


def test_a_target_that_is_gone_at_a_start_is_nobodys(bound: Asking) -> None:
    bound.running.crash()
    subprocess.run(["umount", bound.target("a")], check=True)
    bound.target("a").rmdir()
    subprocess.run(["umount", bound.target("b")], check=True)
    bound.running.start()
    bound.running.wait_for("data", "ready")

    poll_until(lambda: reads(bound, "b"), "the target that is there to be bound")
    consumers = bound.running.mount("data")["volume"]["consumers"]
    assert [each["target"] for each in consumers] == [str(bound.target("b"))]


@pytest.mark.parametrize("garbage", [b"", b"{}", b"\xff\x00{[", b'{"boot": 1, "volumes": []}', b"[" * 100_000])
def test_what_the_kernel_knows_stands_in_for_a_state_file_that_is_garbage(
    bound: Asking, bucket: str, garbage: bytes
) -> None:
    bound.running.crash()
    state_file(bound.running).write_bytes(garbage)
    bound.running.start()
    bound.running.wait_for("data", "ready")

    assert reads(bound, "a", "b")
    assert len(bound.running.mount("data")["volume"]["consumers"]) == 2
    assert not bound.apply("data", "a", bucket=bucket).fresh
    assert not bound.apply("data", "b", bucket=bucket, read_only=True).fresh
    volume = bound.running.mount("data")["volume"]
    assert [each["volume"] for each in volume["consumers"]] == ["data", "data"]


def test_after_a_reboot_nothing_is_believed(bound: Asking) -> None:
    bound.running.crash()
    text = json.loads(state_file(bound.running).read_text())
    state_file(bound.running).write_text(json.dumps(text | {"boot": "another"}))
    bound.running.start()
    poll_until(lambda: bound.running.status().get("mounts") == [], "the volume to be gone")

    for target in ("a", "b"):
        assert bound.release(target).name is None
        assert not bound.target(target).exists()


@pytest.fixture(params=["", "no-beneath,no-setattr"])
def poisoned(request: pytest.FixtureRequest, running: Running, moto: MotoServer) -> Iterator[Asking]:
    """A supervisor whose engines die of certain names; also one that takes its kernel for an old one."""
    running.environment["PYTHONPATH"] = f"{POISONED}{os.pathsep}{_ROOT}"
    running.environment[FORCE_VARIABLE] = request.param
    asking = Asking(running, moto)
    asking.configure()
    with running.running():
        yield asking
        asking.release_all()


def test_targets_are_bound_to_the_session_that_comes_after_one_that_was_given_up(poisoned: Asking, bucket: str) -> None:
    subprocess.run(["mount", "--bind", poisoned.pods, poisoned.pods], check=True)
    try:
        subprocess.run(["mount", "--make-shared", poisoned.pods], check=True)
        poisoned.apply("data", "a", bucket=bucket)
        poisoned.apply("data", "b", bucket=bucket, read_only=True)
        assert is_read_only(poisoned, "b")
        container = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", sys.executable, "-c", _CONTAINER, poisoned.target("b")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert container.stdin is not None
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"

        program = looking_up(poisoned.target("a") / "poison-crash")
        poisoned.running.wait_for("data", "failed")
        end_of(program)
        assert not poisoned.apply("data", "a", bucket=bucket).fresh  # and says why it is of no use
        assert "died" in (poisoned.apply("data", "a", bucket=bucket).reason or "")
        assert poisoned.running.run("restart", "data").returncode == 0

        poll_until(lambda: reads(poisoned, "a", "b"), "both targets to be bound again")
        assert is_read_only(poisoned, "b")
        assert not is_read_only(poisoned, "a")
        container.stdin.write("x\n")
        container.stdin.flush()
        assert container.stdout.readline() == "x\n"
        container.communicate(timeout=WAIT_SECONDS_MAX)
        poisoned.release_all()
    finally:
        subprocess.run(["umount", "--lazy", poisoned.pods], check=True)


def test_one_more_consumer_has_a_mount_that_failed_tried_again(poisoned: Asking, bucket: str) -> None:
    poisoned.apply("data", "a", bucket=bucket)
    program = looking_up(poisoned.target("a") / "poison-exit")
    poisoned.running.wait_for("data", "failed")
    end_of(program)

    assert poisoned.apply("data", "b", bucket=bucket).state == "ready"
    poll_until(lambda: reads(poisoned, "a", "b"), "both targets to be bound to the new session")


def test_a_template_changes_a_volume_that_is_in_use(running: Running, moto: MotoServer, bucket: str) -> None:
    asking = Asking(running, moto)
    asking.configure("[template.fast]\nfile-mode = '0600'\nread-only = false")
    with running.running():
        asking.apply("data", "a", bucket=bucket, use=("fast",))
        assert (asking.target("a") / "x").stat().st_mode & 0o777 == 0o600
        with (asking.target("a") / "x").open("rb") as file:
            asking.configure("[template.fast]\nfile-mode = '0640'\nread-only = true\nmetadata-ttl = 0")
            planned = running.run("plan")
            assert "data: handover" in planned.stdout
            assert "read-only changes when nobody uses it any more" in planned.stdout
            assert running.run("reload").returncode == 0
            assert file.read() == b"x"
        mount = running.wait_for("data", "ready")
        assert mount["volume"]["waiting_keys"] == ["read-only"]
        assert mount["engine"]["handovers"] == 1
        poll_until(lambda: (asking.target("a") / "x").stat().st_mode & 0o777 == 0o640, "the new mode")

        asking.configure()  # the template is gone
        assert running.run("reload").returncode == 0
        assert "no template 'fast'" in running.mount("data")["volume"]["trouble"]
        assert reads(asking, "a")

        asking.configure("[template.fast]\nread-only = true")
        assert running.run("reload").returncode == 0
        asking.release("a")
        asking.apply("data", "a", bucket=bucket, use=("fast",))
        assert is_read_only(asking, "a")
        assert running.mount("data")["volume"]["waiting_keys"] == []
        asking.release_all()


def test_a_supervisor_that_ends_takes_its_binds_along_and_the_next_one_brings_them_back(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    asking = Asking(running, moto)
    asking.configure()
    with running.running():
        asking.apply("data", "a", bucket=bucket)
    with running.running():
        running.wait_for("data", "ready")
        poll_until(lambda: reads(asking, "a"), "the target to be bound again")
        asking.release_all()
    assert not asking.target("a").exists()
    assert list((running.work / "run").glob("*")) == []


def test_volumes_come_and_go_while_the_file_is_reloaded(running: Running, moto: MotoServer, bucket: str) -> None:
    asking = Asking(running, moto)
    asking.configure("[template.fast]\nfile-mode = '0600'")
    results: list[bool] = []

    def come_and_go(number: int) -> None:
        for turn in range(3):
            target = f"t{number}-{turn}"
            asking.apply(f"data-{number % 4}", target, bucket=bucket, use=("fast",))
            results.append(reads(asking, target))
            asking.release(target)

    with running.running():
        with ThreadPoolExecutor(8) as pool:
            going = [pool.submit(come_and_go, number) for number in range(8)]
            for mode in ("0640", "0644", "0660", "0600"):
                asking.configure(f"[template.fast]\nfile-mode = '{mode}'")
                assert running.run("reload").returncode in (0, 1)  # 1: a volume went while it was to be changed
            for each in going:
                each.result()
        assert results == [True] * 24
        poll_until(lambda: running.status()["mounts"] == [], "the last volume to be gone")
        assert "internal error" not in running.log_text()
