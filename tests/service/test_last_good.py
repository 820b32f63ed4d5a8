"""A start with a broken file serves what was in force before, and says so."""

import io
import os
import subprocess

import pytest

from tests.servers import MotoServer
from tests.service.running import Running


def test_a_start_with_a_broken_file_serves_what_was_in_force_before(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        running.configure(moto, one={"bucket": bucket}, two={"bucket": bucket})
        assert running.run("reload").returncode == 0
    good = running.config.read_text()
    running.config.write_text(good + "[mount.bad]\nbuckt = 'abc'\n")

    running.start()
    running.wait_for("two", "ready")
    running.wait_for("one", "ready")
    assert (running.mountpoint("two") / "x").read_bytes() == b"x"
    status = running.status()
    assert status["health"] == "degraded"
    last = status["supervisor"]["config"]["last_reload"]
    assert last["ok"] is False
    assert last["errors"][0].startswith(f"{running.config}:")
    assert "served is what was in force before, since 20" in last["errors"][-1]
    assert "mount.bad" in running.log_text()
    assert running.run("status").returncode == 3
    # A broken file changes nothing on reload either; a good one is as ever.
    assert running.run("reload").returncode == 1
    pid = running.mount("one")["engine"]["pid"]
    running.config.write_text(good)
    assert running.run("reload").stdout == "one: unchanged\ntwo: unchanged\n"
    assert running.status()["health"] == "ready"
    assert running.mount("one")["engine"]["pid"] == pid
    assert running.stop() == 0


def test_a_file_that_is_not_there_at_a_start_is_a_broken_one(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        pass
    text = running.config.read_text()
    running.config.write_text("")  # what `running` counts
    os.remove(running.config)
    running.start()
    running.wait_for("one", "ready")
    running.config.write_text(text)
    assert running.stop() == 0


def test_what_was_in_force_of_another_file_is_not_served(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        pass
    other = running.work / "other.toml"
    other.write_text("[mount.")

    done = running.run("run", "--config", str(other))

    assert done.returncode == 2
    assert f"{other}:1" in done.stderr


def test_a_full_state_directory_costs_just_that(running: Running, moto: MotoServer, bucket: str) -> None:
    state = running.work / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "full", state], check=True)
    with (state / "full").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        _fill(file)
    running.configure(moto, one={"bucket": bucket})
    running.start()
    running.wait_for("one", "ready")
    running.configure(moto, one={"bucket": bucket}, two={"bucket": bucket})
    assert running.run("reload").stdout == "one: unchanged\ntwo: added\n"
    assert "a start with a broken file would serve nothing: No space left on device" in running.log_text()
    assert running.status()["health"] == "ready"
    assert running.stop() == 0


def _fill(file: io.FileIO) -> None:
    while True:
        file.write(bytes(4096))
