"""Options whose work crosses processes: read by root, handed to an engine that may not read them, kept by the next."""

import itertools
import json
import os
import re
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.message_ids import CREDENTIALS_LACKING, REQUEST_FAILED, S3_REQUEST_FAILED
from mountctl.control.client import ControlClient
from mountctl.errors import Refused
from tests.certificates import Authority
from tests.faults import Answer, FaultyProxy, Seen, error
from tests.servers import S3Server
from tests.service.running import Running, poll_until


def kill_engine(running: Running, name: str) -> None:
    """SIGKILL; returns when another serves."""
    takeovers = running.mount(name)["engine"]["takeovers"]
    os.kill(running.mount(name)["engine"]["pid"], signal.SIGKILL)
    poll_until(lambda: running.mount(name)["engine"]["takeovers"] > takeovers, "a takeover")
    running.wait_for(name, "ready")


def test_a_mounts_log_is_its_own_file_which_a_rotation_replaces(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    logs = running.work / "logs"
    running.configure(moto, one={"bucket": bucket, "log_directory": str(logs), "debug": True}, two={"bucket": bucket})
    log = logs / "mountctl-one.log"

    with running.running():
        os.listdir(running.mountpoint("one"))
        before = poll_until(lambda: log.exists() and log.read_text(), "lines in the log")
        assert (stat.S_IMODE(logs.stat().st_mode), stat.S_IMODE(log.stat().st_mode)) == (0o750, 0o640)
        engine = Path("/proc") / str(running.mount("one")["engine"]["pid"])
        rotated = log.rename(logs / "mountctl-one.log.1")
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)
        poll_until(log.exists, "a new log")
        poll_until(
            lambda: str(rotated) not in [os.readlink(fd) for fd in (engine / "fd").iterdir()], "the old log let go of"
        )
        kill_engine(running, "one")
        poll_until(log.read_text, "lines of the next engine in the new log")

    assert "DEBUG" in before
    assert " two:" not in before
    assert " one: " not in "".join(line for line in running.log_text().splitlines() if "DEBUG" in line)


def test_no_line_is_lost_where_a_log_is_rotated_while_it_is_written(running: Running, moto: S3Server) -> None:
    logs = running.work / "logs"
    running.configure(moto, one={"bucket": moto.bucket(), "log_directory": str(logs), "debug": True})
    log = logs / "mountctl-one.log"
    names = [f"missing-{number:03}" for number in range(100)]

    with running.running():

        def look() -> None:
            for name in names:
                assert not (running.mountpoint("one") / name).exists()

        looking = threading.Thread(target=look)
        looking.start()
        for number in range(2):
            poll_until(lambda: log.exists() and "missing-" in log.read_text(), "lines in the log")
            log.rename(logs / f"mountctl-one.log.{number}")
            assert running.process is not None
            running.process.send_signal(signal.SIGHUP)
        looking.join()
        poll_until(lambda: names[-1] in "".join(each.read_text() for each in logs.iterdir()), "the last line")

    files = [each.read_text() for each in logs.iterdir()]
    assert len(files) == 3
    assert set(re.findall(r"missing-\d+", "".join(files))) == set(names)


def test_counters_that_change_are_logged_where_it_is_asked_for(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"counted")
    running.configure(moto, one={"bucket": bucket, "log_metrics": True}, two={"bucket": bucket})

    with running.running():
        for name in ("one", "two"):
            assert (running.mountpoint(name) / "x").read_bytes() == b"counted"
        poll_until(lambda: "s3_requests.GetObject=1+1" in running.log_text(), "a line of metrics")

    assert "INFO one: metrics: bytes_read=7+7" in running.log_text()
    assert "two: metrics" not in running.log_text()


def test_sigusr2_switches_the_debug_level_of_running_engines_on_and_off(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})

    def is_debug() -> bool:
        """Whether a HEAD that finds nothing, which the debug level tells, is in the log."""
        before = running.log_text().count("DEBUG data: HeadObject")
        assert not (running.mountpoint("data") / "missing").exists()
        return running.log_text().count("DEBUG data: HeadObject") > before

    with running.running():
        pid = running.mount("data")["engine"]["pid"]
        assert not is_debug()
        assert running.process is not None
        running.process.send_signal(signal.SIGUSR2)
        poll_until(is_debug, "lines at debug level")
        running.process.send_signal(signal.SIGUSR2)
        poll_until(lambda: not is_debug(), "them to stop")
        assert running.mount("data")["engine"]["pid"] == pid


def level_of(running: Running, name: str) -> tuple[str, bool]:
    """The level that counts, and whether its time is told."""
    log = running.mount(name)["log"]
    return log["level"], log["level_until"] is not None


def test_the_log_level_of_one_mount_is_changed_while_it_serves(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket}, other={"bucket": bucket}, quiet={"bucket": bucket, "no_log": True})

    def is_debug(name: str) -> bool:
        before = running.log_text().count(f"DEBUG {name}: HeadObject")
        assert not (running.mountpoint(name) / "missing").exists()
        return running.log_text().count(f"DEBUG {name}: HeadObject") > before

    with running.running():
        pid = running.mount("data")["engine"]["pid"]
        assert running.run("log-level", "data", "debug").stdout == "data: debug until a reload\n"
        poll_until(lambda: is_debug("data"), "lines at debug level")
        assert not is_debug("other")
        assert (level_of(running, "data"), level_of(running, "other")) == (("debug", False), ("info", False))
        kill_engine(running, "data")
        pid = running.mount("data")["engine"]["pid"]
        poll_until(lambda: is_debug("data"), "the next engine to log as the one before")
        client = ControlClient(running.work / "run")
        assert client.reload().ok
        poll_until(lambda: not is_debug("data"), "a reload to end it")
        assert level_of(running, "data") == ("info", False)
        assert client.set_log_level("data", "debug", 1.0) == {"data": "debug for 1 s"}
        poll_until(lambda: level_of(running, "data") == ("info", False), "its time to be over")
        assert "data: log level: info, as its time is over" in running.log_text()
        assert running.mount("data")["engine"]["pid"] == pid
        with pytest.raises(Refused, match="quiet logs nothing: it has no-log"):
            client.set_log_level("quiet", "debug", None)
        assert "data: log level by root: debug until a reload" in running.log_text()


def test_json_on_standard_error_and_in_a_file_tells_what_s3_said(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"refused")
    logs = running.work / "logs"

    def refuse(seen: Seen) -> Answer | None:
        return error(403, "AccessDenied", "no") if seen.method == "GET" and seen.target.endswith("/x") else None

    with FaultyProxy(moto.endpoint, refuse) as server:
        of_file = {"bucket": bucket, "log_directory": str(logs), "log_format": "json"}
        running.configure(server.endpoint, data={"bucket": bucket}, filed=of_file)
        running.config.write_text('[supervisor]\nlog-format = "json"\n' + running.config.read_text())
        with running.running():
            for name in ("data", "filed"):
                for _ in range(3):
                    with pytest.raises(PermissionError):
                        (running.mountpoint(name) / "x").read_bytes()

    told = [json.loads(line) for line in running.log_text().splitlines() if line.startswith("{")]
    lines = [*told, *map(json.loads, (logs / "mountctl-filed.log").read_text().splitlines())]
    for name in ("data", "filed"):
        refused = [each for each in lines if each.get("mount") == name and each.get("key") == "x"]
        once = [each for each in refused if each.get("verb") == "GetObject" and "repeats" not in each]
        assert [(each["s3_code"], each["status"], each["request_id"]) for each in once] == [
            ("AccessDenied", 403, "REQ1")
        ]
        count = [each for each in refused if "repeats" in each and each["verb"] == "GetObject"]
        assert sum(each["repeats"] for each in count) >= 2
        assert {each["errno"] for each in refused if "errno" in each} == {"EACCES"}
        assert {each["message_id"] for each in refused} == {REQUEST_FAILED.id, S3_REQUEST_FAILED.id}
    assert any(each["message"].startswith("starting -> ready") for each in told if each.get("mount") == "data")


def test_a_log_goes_elsewhere_and_in_another_form_while_the_engine_serves(running: Running, moto: S3Server) -> None:
    bucket, logs = moto.bucket(), running.work / "logs"
    log = logs / "mountctl-data.log"
    mount = {"bucket": bucket, "debug": True}

    def reload(supervisor: str = "", **options: str) -> None:
        running.configure(moto, data=mount | options)
        running.config.write_text(supervisor + running.config.read_text())
        done = running.run("reload")
        assert done.returncode == 0, done.stderr

    def comes(where: Callable[[], str], is_right: Callable[[str], bool], what: str) -> None:
        """A line about a name that nobody has asked for before: the engine hears of the change a moment later."""
        names = (f"{what.replace(' ', '-')}-{number}" for number in itertools.count())

        def look() -> bool:
            name = next(names)
            assert not (running.mountpoint("data") / name).exists()
            return any(is_right(line) for line in where().splitlines() if name in line)

        poll_until(look, what)

    def is_json(line: str) -> bool:
        return line.startswith("{") and json.loads(line)["mount"] == "data"

    running.configure(moto, data=mount)
    with running.running():
        engine = running.mount("data")["engine"]
        reload('[supervisor]\nlog-format = "json"\n')
        comes(running.log_text, is_json, "JSON")
        reload('[supervisor]\nlog-format = "json"\n', log_directory=str(logs))
        poll_until(log.exists, "a file")
        comes(log.read_text, lambda line: " DEBUG HeadObject" in line, "text in a file")
        reload(log_directory=str(logs), log_format="json")
        comes(log.read_text, is_json, "JSON in a file")
        reload()
        comes(running.log_text, lambda line: " DEBUG data: HeadObject" in line, "text")
        assert running.mount("data")["engine"] == engine
        assert running.mount("data")["log"]["to"] == "stderr"


def test_the_supervisor_and_the_broker_log_from_the_start_in_the_form_that_the_file_asks_for(
    running: Running, moto: S3Server
) -> None:
    running.environment["MOUNTPOINT_LOG"] = "debug"
    running.configure(moto, data={"bucket": moto.bucket(), "profile": "none-such"})
    text = running.config.read_text()
    running.config.write_text('[supervisor]\nlog-format = "json"\n' + text)

    with running.running("ready", "backoff", "failed", "starting"):
        poll_until(lambda: CREDENTIALS_LACKING.id in running.log_text(), "the broker's word, as JSON")

    told = [json.loads(line) for line in running.log_text().splitlines()]
    assert told[0]["message"].startswith("MOUNTPOINT_LOG is set and not read")


def test_variables_that_do_nothing_are_told_at_the_start(running: Running, moto: S3Server) -> None:
    running.environment |= {"MOUNTPOINT_LOG": "debug", "ALL_PROXY": "socks5://user:hush-hush@127.0.0.1:1"}
    running.configure(moto, data={"bucket": moto.bucket()})

    with running.running():
        assert "WARNING MOUNTPOINT_LOG is set and not read" in running.log_text()

    assert "WARNING ALL_PROXY is set and not read: set HTTPS_PROXY" in running.log_text()
    assert "hush-hush" not in running.log_text()


def test_a_mount_with_no_log_is_silent_but_its_state_is_told(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "no//name")  # which a listing leaves out, and the log tells
    running.configure(moto, quiet={"bucket": bucket, "no_log": True}, loud={"bucket": bucket})

    with running.running():
        for name in ("quiet", "loud"):
            assert os.listdir(running.mountpoint(name) / "no") == []

    assert "WARNING loud: " in running.log_text()
    assert "WARNING quiet: " not in running.log_text()
    assert "quiet: starting -> ready" in running.log_text()


def test_a_ca_bundle_that_only_root_may_read_is_trusted_by_the_engine_and_the_next(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"over TLS")
    ours, other = Authority("ours"), Authority("other")
    bundle = running.work / "ca.pem"
    bundle.write_text(ours.pem)
    bundle.chmod(0o600)
    (running.work / "other.pem").write_text(other.pem)

    with FaultyProxy(moto.endpoint, tls=ours.server_side(running.work)) as server:
        running.configure(
            server.endpoint,
            good={"bucket": bucket, "ca_bundle": str(bundle), "bind": ["lo"], "maximum_throughput_gbps": 1},
            bad={"bucket": bucket, "ca_bundle": str(running.work / "other.pem")},
            none={"bucket": bucket, "ca_bundle": str(running.work / "none.pem")},
        )
        with running.running("ready", "backoff"):
            running.wait_for("good", "ready")
            assert (running.mountpoint("good") / "x").read_bytes() == b"over TLS"
            kill_engine(running, "good")
            assert (running.mountpoint("good") / "x").read_bytes() == b"over TLS"
            reasons = {name: running.wait_for(name, "backoff")["reason"] for name in ("bad", "none")}

    assert "is not trusted" in reasons["bad"]
    assert "ca-bundle: cannot read" in reasons["none"]
    assert "No such file" in reasons["none"]


def test_a_region_that_s3_names_is_followed_once_and_kept_for_the_next_engine(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"found")
    moved = error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-3")

    def elsewhere(seen: Seen) -> Answer | None:
        return None if "/eu-west-3/s3/" in seen.headers.get("authorization", "") else moved

    del running.environment["AWS_REGION"]
    running.environment["AWS_DEFAULT_REGION"] = "us-west-2"
    with FaultyProxy(moto.endpoint, elsewhere) as server:
        running.configure(server.endpoint, found={"bucket": bucket}, told={"bucket": bucket, "region": "us-west-2"})
        with running.running("ready", "backoff"):
            running.wait_for("found", "ready")
            assert "set region = 'eu-west-3'" in running.wait_for("told", "backoff")["reason"]
            running.configure(server.endpoint, found={"bucket": bucket})
            assert running.run("reload").returncode == 0
            before = len(server.seen)
            kill_engine(running, "found")
            assert (running.mountpoint("found") / "x").read_bytes() == b"found"
            asked = server.seen[before:]

    assert asked
    assert [seen.target for seen in asked if elsewhere(seen)] == []


@pytest.mark.skipif(Path("/proc/1/comm").read_text() == "systemd\n", reason="systemd would see to it")
def test_limits_without_systemd_are_told_once_and_the_mount_is_served(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"without limits")
    running.configure(moto, one={"bucket": bucket, "memory_max": 640, "cpu_weight": 50}, two={"bucket": bucket})
    why = "memory-max, cpu-weight: no systemd runs here, which would see to it"

    with running.running():
        poll_until(lambda: (running.mount("one")["slice"] or {}).get("trouble") == why, "what is missing")
        kill_engine(running, "one")
        assert (running.mountpoint("one") / "x").read_bytes() == b"without limits"
        assert running.mount("two")["slice"] is None
        told = " ".join(running.run("status").stdout.split())
        assert f"served without the limits that it asks for: {why}" in told
    checked = running.run("check").stdout
    assert checked.count("this host can't see to it") == 1
    assert f"mount.one.memory-max: this host can't see to it, and the mount is served without limits: {why}" in checked
    assert running.log_text().count(f"one: it has not the limits that it asks for: {why}") == 1
