"""The supervisor is killed, without systemd: engines go on, the next supervisor adopts them, nothing is left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mountctl
from mountctl.supervisor.holder import UNMOUNT_SECONDS
from mountctl.supervisor.vital import EXIT_INTERNAL_ERROR
from tests.servers import S3Server
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, gone, poll_until

KILLS = 10


@pytest.fixture
def served(running: Running, moto: S3Server) -> Iterator[Running]:
    """One mount, `data`, ready; at the end the supervisor ends well, whichever it is."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still here")
    running.configure(moto, data={"bucket": bucket})
    with running.running():
        yield running


def engine(running: Running, name: str = "data") -> int:
    return int(running.wait_for(name, "ready")["engine"]["pid"])


def test_a_mount_reads_on_without_a_supervisor_and_the_next_one_adopts_its_engine(served: Running) -> None:
    before = engine(served)
    path = served.mountpoint("data") / "x"
    with path.open("rb") as file:
        served.crash()
        assert path.read_bytes() == file.read() == b"still here"
        served.start()
        mount = served.wait_for("data", "ready")

    assert mount["engine"]["pid"] == before
    assert mount["engine"]["takeovers"] == 0
    assert mount["stats"]["bytes_read"] >= 10
    assert f"adopted engine {before}" in served.log_text()


@pytest.mark.parametrize(
    ("module", "line", "number"),
    [
        ("daemon.py", "by_hand.switch_debug(self._supervisor)", signal.SIGUSR2),
        ("supervisor/supervisor.py", "results.append(await self._reload(wish))", signal.SIGHUP),
    ],
)
def test_an_internal_error_of_the_supervisor_unmounts_nothing(
    running: Running, moto: S3Server, module: str, line: str, number: signal.Signals
) -> None:
    code = running.work / "code"
    shutil.copytree(Path(mountctl.__file__).parent, code / "mountctl", ignore=shutil.ignore_patterns("__pycache__"))
    path = code / "mountctl" / module
    text = path.read_text()
    poisoned = text.replace(line, 'raise RuntimeError("poisoned")')
    assert poisoned != text
    path.write_text(poisoned)
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still here")
    running.configure(moto, data={"bucket": bucket})
    running.environment["PYTHONPATH"] = str(code)
    running.start()
    before = engine(running)
    assert running.process is not None
    with (running.mountpoint("data") / "x").open("rb") as file:
        running.process.send_signal(number)
        assert running.process.wait(WAIT_SECONDS_MAX) == EXIT_INTERNAL_ERROR
        assert file.read() == b"still here"
    assert "RuntimeError: poisoned" in running.log_text()
    del running.environment["PYTHONPATH"]
    with running.running():
        assert engine(running) == before


def test_what_is_written_when_the_supervisor_is_killed_arrives(served: Running) -> None:
    path = served.mountpoint("data") / "big"
    data = os.urandom(18_000_000)
    with path.open("wb") as file:
        file.write(data[:9_000_000])
        served.crash()
        file.write(data[9_000_000:12_000_000])
        served.start()
        served.wait_for("data", "ready")
        file.write(data[12_000_000:])

    assert path.read_bytes() == data


def test_an_engine_that_dies_while_there_is_no_supervisor_is_replaced_by_the_next_one(served: Running) -> None:
    # A process of its own: what this one has open, a program that it starts closes, which asks the engine.
    program = "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read(); print(f.read())"
    reader = subprocess.Popen(
        [sys.executable, "-c", program, served.mountpoint("data") / "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    before = engine(served)
    served.crash()
    os.kill(before, signal.SIGKILL)
    served.start()

    assert reader.communicate(timeout=WAIT_SECONDS_MAX)[0] == "still here\n"
    assert engine(served) != before


def test_a_successor_whose_engine_before_dies_with_the_supervisor_is_adopted_and_takes_over(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still here")
    running.configure(moto, handed={"bucket": bucket})
    with running.running():
        before = engine(running, "handed")
        os.kill(before, signal.SIGSTOP)  # it can't hand over
        restart = subprocess.Popen(
            [MOUNTCTL, "restart", "handed"],
            env=running.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        poll_until(lambda: len(running.held_processes()) == 2, "a successor to be held")
        (waiting,) = running.held_processes() - {before}
        running.crash()
        os.kill(before, signal.SIGKILL)
        restart.wait()
        running.start()

        assert (running.mountpoint("handed") / "x").read_bytes() == b"still here"
        assert engine(running, "handed") == waiting


def test_an_engine_that_is_stopped_when_it_is_adopted_is_replaced(served: Running) -> None:
    before = engine(served)
    served.crash()
    os.kill(before, signal.SIGSTOP)
    poll_until(lambda: Path(f"/proc/{before}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it to stop")
    served.start()

    assert (served.mountpoint("data") / "x").read_bytes() == b"still here"
    assert engine(served) != before
    assert gone(before)


def test_what_the_file_says_otherwise_by_then_is_changed_removed_and_added(running: Running, moto: S3Server) -> None:
    bucket, names = moto.bucket(), ("same", "changed", "removed", "added")
    moto.put(bucket, "x", b"1")
    mounts = {name: {"bucket": bucket} for name in names}
    running.configure(moto, **{name: mounts[name] for name in names[:3]})
    running.start()
    running.wait_for_states("ready")
    before = engine(running, "same")
    running.crash()
    mounts["changed"]["file_mode"] = "0600"
    running.configure(moto, **{name: mounts[name] for name in names if name != "removed"})

    with running.running():
        places = [str(running.mountpoint(name)) for name in ("added", "changed", "same")]
        poll_until(lambda: sorted(running.mounted()) == places, "three to be mounted")
        running.wait_for("added", "ready")  # the last to come
        assert engine(running, "same") == before
        assert (running.mountpoint("changed") / "x").stat().st_mode & 0o777 == 0o600
        assert (running.mountpoint("added") / "x").read_bytes() == b"1"


def test_a_mount_that_no_file_declares_is_there_after_the_supervisor_was_killed(
    served: Running, moto: S3Server, tmp_path: Path
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "y", b"by hand")
    place = tmp_path / "mnt" / "by-hand"
    options = f"endpoint-url={moto.endpoint},force-path-style"
    done = subprocess.run(
        [MOUNTCTL, "mount", f"s3://{bucket}/", place, "-o", options], env=served.environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    name = next(mount["name"] for mount in served.status()["mounts"] if mount["name"] != "data")
    before = engine(served, name)
    served.crash()
    served.start()

    assert engine(served, name) == before
    assert served.mount(name)["transient"]
    assert (place / "y").read_bytes() == b"by hand"
    subprocess.run(["umount", place], check=True)
    poll_until(lambda: len(served.status()["mounts"]) == 1, "it to be forgotten")


def test_after_umount_without_a_supervisor_engine_and_holder_end(served: Running) -> None:
    pid, holder = engine(served), served.holder()
    assert holder is not None
    served.crash()
    subprocess.run(["umount", served.mountpoint("data")], check=True)

    poll_until(lambda: gone(pid) and gone(holder), "engine and holder to end")
    assert not (served.work / "run" / "holder.sock").exists()
    served.start()
    served.wait_for("data", "ready")


def test_a_stopped_supervisor_leaves_no_holder(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})
    with running.running():
        holder = running.holder()
        assert holder is not None
        assert Path(f"/proc/{holder}/status").read_text().count("Uid:\t0\t0\t0\t0") == 1
        assert (running.work / "run" / "holder.sock").stat().st_mode & 0o777 == 0o600

    assert gone(holder)
    assert not (running.work / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_holder_that_is_killed_or_hangs_is_replaced_and_the_new_one_is_filled(
    served: Running, number: signal.Signals
) -> None:
    before, holder = engine(served), served.holder()
    assert holder is not None
    os.kill(holder, number)
    poll_until(lambda: served.holder() not in (None, holder), "another holder")
    poll_until(lambda: served.log_text().count("starting another"), "it to be told")
    poll_until(lambda: served.held_processes() == {before}, "the engine to be held again")
    served.crash()
    served.start()

    assert engine(served) == before


def test_a_supervisor_whose_holder_hangs_comes_up_all_the_same(served: Running) -> None:
    holder = served.holder()
    assert holder is not None
    served.crash()
    os.kill(holder, signal.SIGSTOP)
    served.start()
    try:
        assert served.wait_for("data", "ready")["engine"]["pid"]
        assert (served.mountpoint("data") / "x").read_bytes() == b"still here"
    finally:
        os.kill(holder, signal.SIGKILL)


def test_a_supervisor_killed_with_its_holder_leaves_a_dead_mount_that_the_next_one_replaces(served: Running) -> None:
    before, holder = engine(served), served.holder()
    assert holder is not None
    served.crash()
    os.kill(holder, signal.SIGKILL)
    poll_until(lambda: gone(before), "the engine that nobody holds to end")
    assert served.mounted() == [str(served.mountpoint("data"))]
    served.start()

    assert engine(served) != before
    assert (served.mountpoint("data") / "x").read_bytes() == b"still here"
    assert served.mounted() == [str(served.mountpoint("data"))]


@pytest.mark.slow  # the holder waits for a while whether a supervisor comes
def test_with_auto_unmount_a_mount_is_taken_away_when_nobody_follows_and_others_stay(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"stays")
    running.configure(moto, goes={"bucket": bucket, "auto_unmount": True}, stays={"bucket": bucket})
    running.start()
    running.wait_for_states("ready")
    going, staying = engine(running, "goes"), engine(running, "stays")
    running.crash()
    crashed = time.monotonic()

    poll_until(lambda: gone(going), "the engine of the mount that goes to end")
    assert time.monotonic() - crashed > UNMOUNT_SECONDS
    assert running.mounted() == [str(running.mountpoint("stays"))]
    assert (running.mountpoint("stays") / "x").read_bytes() == b"stays"
    assert not gone(staying)
    with running.running():
        assert engine(running, "stays") == staying
        assert engine(running, "goes") != going


_READER = """
import os, random, sys, time
path, size, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]
kept = os.open(path, os.O_RDONLY | os.O_DIRECT)
reads = errors = 0
worst = 0.0
while not os.path.exists(end):
    at = random.randrange(0, size // 4096) * 4096
    before = time.monotonic()
    try:
        fresh = os.open(path, os.O_RDONLY | os.O_DIRECT)
        for fd in (kept, fresh):
            block = os.pread(fd, 4096, at)
            if block != (at // 4096).to_bytes(8, "big") * 512:
                errors += 1
        os.close(fresh)
        assert os.listdir(os.path.dirname(path)) == ["big"]
    except OSError as error:
        errors += 1
        print(error, flush=True)
    worst = max(worst, time.monotonic() - before)
    reads += 1
print(reads, errors, f"{worst:.3f}", flush=True)
"""


@pytest.mark.slow
def test_ten_kills_of_the_supervisor_are_seen_by_no_reader(running: Running, moto: S3Server, tmp_path: Path) -> None:
    bucket, blocks = moto.bucket(), 2000
    moto.put(bucket, "big", b"".join(number.to_bytes(8, "big") * 512 for number in range(blocks)))
    running.configure(moto, data={"bucket": bucket})
    with running.running():
        before, end = engine(running), tmp_path / "end"
        arguments = [str(running.mountpoint("data") / "big"), str(blocks * 4096), str(end)]
        readers = [
            subprocess.Popen([sys.executable, "-c", _READER, *arguments], stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        for _ in range(KILLS):
            running.crash()
            running.start()
            assert engine(running) == before
        end.touch()
        told = [reader.communicate(timeout=60)[0].split() for reader in readers]
        print("reads, errors, longest pause (s) of each reader:", told)

    assert [errors for _, errors, _ in told] == ["0"] * 3
    assert all(int(reads) > KILLS for reads, _, _ in told)
