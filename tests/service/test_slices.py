"""Limits of mounts under a real systemd: slices, engines that come and go in them, and what happens when one is full.

Where this kernel has its memory controller in cgroup v1 only, systemd runs with both versions (hybrid).
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import S3Server
from tests.service import systemd_host
from tests.service.systemd_host import SystemdHost
from tests.service.test_systemd import REPOSITORY, UNIT, configure, killed

pytestmark = pytest.mark.skipif(systemd_host.lacking() is not None, reason=str(systemd_host.lacking()))

MiB = 1024 * 1024
SLICE = "mountctl-data.slice"
# The least that the memory target below may have.
TARGET, MAX_MIB = "memory-target = 16", 144
LIMITS = (TARGET, f"memory-max = {MAX_MIB}", "cpu-weight = 50")


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    shared = {REPOSITORY, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    with SystemdHost(*sorted(shared), limits=True) as host:
        host.run(f"cp {UNIT} /etc/systemd/system/ && ln -sf {sys.prefix}/bin/mountctl /usr/bin/mountctl")
        yield host


@pytest.fixture(scope="module")
def bucket(host: SystemdHost, moto: S3Server) -> Iterator[str]:
    """A bucket with one file, mounted at /mnt/data by the service."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"in a slice")
    configure(host, moto, bucket, "data")
    set_options(host, *LIMITS)
    host.run("systemctl start mountctl")
    yield bucket
    host.run("systemctl stop mountctl", check=False)  # it may be shut down


@pytest.fixture
def engine(host: SystemdHost, bucket: str) -> int:
    """The engine of the mount that has its limits: it is in its slice."""
    set_options(host, *LIMITS)
    host.run("systemctl is-active mountctl && mountctl reload || systemctl start mountctl")
    return in_force(host)


def set_options(host: SystemdHost, *lines: str) -> None:
    """Have these options of the mount in a drop-in, instead of those there."""
    text = "\n".join(["supervisor.watch = false", "[mount.data]", *lines])
    host.run(f"mkdir -p /etc/mountpoint-s3.d; cat > /etc/mountpoint-s3.d/limits.toml <<'END'\n{text}\nEND")


def mount(host: SystemdHost) -> dict[str, Any]:
    [told] = json.loads(host.run("mountctl status --json", check=False).stdout)["mounts"]
    return dict(told)


def in_force(host: SystemdHost, unit: str = SLICE, old: int | None = None) -> int:
    """The engine that serves, once it is another than the old one and in this slice, with all limits in force."""
    ready = (
        "import json, sys; [m] = json.load(sys.stdin)['mounts']; s = m['slice'] or {}; pid = m['engine']['pid'];"
        f" sys.exit(m['state'] != 'ready' or s.get('trouble') is not None or s.get('name') != r'{unit}'"
        f" or pid == {old} or not open(f'/proc/{{pid}}/cgroup').read().count(r'{unit}/'))"
    )
    host.wait_until(f'mountctl status --json | {sys.executable} -c "{ready}"')
    return int(mount(host)["engine"]["pid"])


def limit(host: SystemdHost, unit: str = SLICE) -> int:
    """What the kernel has as the memory limit of a slice."""
    path = f"$(systemctl show --value --property=ControlGroup '{unit}')"
    names = f'/sys/fs/cgroup/memory"{path}"/memory.limit_in_bytes /sys/fs/cgroup"{path}"/memory.max'
    return int(host.run(f"cat {names} 2>/dev/null | head -n 1").stdout)


def slices(host: SystemdHost) -> list[str]:
    """Slices and scopes of mounts that are there."""
    told = host.run("systemctl list-units --plain --no-legend 'mountctl-*.slice' 'mountctl-*.scope'").stdout
    return sorted(line.split()[0] for line in told.splitlines())


def test_an_engine_is_in_its_mounts_slice_with_the_limits_in_force(host: SystemdHost, engine: int) -> None:
    assert host.run("cat /mnt/data/x").stdout == "in a slice"
    assert limit(host) == MAX_MIB * MiB
    assert host.show(SLICE, "MemoryMax") == str(MAX_MIB * MiB)
    assert host.show(SLICE, "CPUWeight") == "50"
    assert 0 < mount(host)["slice"]["memory_bytes"] < MAX_MIB * MiB
    assert slices(host) == [f"mountctl-data-{engine}.scope", SLICE]
    assert "mountctl-data" not in host.run("mountctl status").stdout
    assert host.run("mountctl check").stdout.endswith("1 mount, no errors\n")


@pytest.mark.slow
def test_the_next_engine_is_in_the_slice_too_whichever_way_it_came(host: SystemdHost, engine: int) -> None:
    host.run(f"kill -9 {engine}")
    second = in_force(host, old=engine)
    host.run("mountctl restart data")
    third = in_force(host, old=second)
    killed(host, signal.SIGKILL)
    assert in_force(host) == third
    host.run("systemctl restart mountctl")
    assert in_force(host) == third
    assert slices(host) == [f"mountctl-data-{third}.scope", SLICE]
    assert host.run("cat /mnt/data/x").stdout == "in a slice"


@pytest.mark.slow
def test_limits_are_changed_and_taken_away_while_the_same_engine_serves(host: SystemdHost, engine: int) -> None:
    set_options(host, TARGET, f"memory-max = {2 * MAX_MIB}")
    assert "data: live" in host.run("mountctl plan", check=False).stdout
    host.run("mountctl reload")
    host.wait_until(f'test "$(systemctl show --value --property=MemoryMax {SLICE})" = {2 * MAX_MIB * MiB}')
    assert limit(host) == 2 * MAX_MIB * MiB
    assert host.show(SLICE, "CPUWeight") == "[not set]"

    set_options(host, TARGET, 'slice = "some-batch.slice"')
    host.run("mountctl reload")
    assert in_force(host, "some-batch-data.slice") == engine
    host.wait_until(f'test "$(systemctl is-active {SLICE})" = inactive')

    set_options(host, TARGET, 'slice = "some-batch.slice"', f"memory-max = {MAX_MIB}")
    host.run("mountctl reload")
    host.wait_until(f'test "$(systemctl show --value --property=MemoryMax some-batch-data.slice)" = {MAX_MIB * MiB}')
    set_options(host, TARGET)
    host.run("mountctl reload")
    host.wait_until('test "$(systemctl show --value --property=MemoryMax some-batch-data.slice)" = infinity')
    assert mount(host)["slice"] is None
    assert mount(host)["engine"]["pid"] == engine


# Fills the slice until the kernel ends the engine.
_HOG = """
import os, sys
kept = []
while os.path.exists(f"/proc/{sys.argv[1]}"):
    kept.append(b"x" * (1 << 20))
"""


def test_a_mount_whose_engine_the_kernel_ends_for_its_limit_goes_on_and_says_why(
    host: SystemdHost, engine: int
) -> None:
    host.run(f"cat > /run/hog.py <<'END'\n{_HOG}END")
    host.run("sh -c 'exec 9</mnt/data/x; echo $$ >/run/reader; exec sleep 600' >/dev/null 2>&1 &")
    host.wait_until("test -s /run/reader")
    host.run(f"echo 1000 >/proc/{engine}/oom_score_adj")  # of what is in the slice it is the one to end
    host.run(f"systemd-run --scope --slice={SLICE} {sys.executable} /run/hog.py {engine}", check=False)
    in_force(host, old=engine)
    assert host.run("cat /mnt/data/x /proc/$(cat /run/reader)/fd/9; kill $(cat /run/reader)").stdout == 2 * "in a slice"
    told = mount(host)
    why = "as the mount needed more memory than its slice may have (memory-max)"
    assert why in told["engine"]["last_exit"]
    assert "ready -> recovering: the engine " in host.run("mountctl events data").stdout
    assert why in host.run("mountctl events data").stdout
    assert why in host.run("mountctl logs data").stdout


@pytest.mark.slow
def test_a_mount_that_has_too_little_for_any_engine_is_given_up_with_the_reason(
    host: SystemdHost, engine: int, bucket: str, moto: S3Server
) -> None:
    moto.put(bucket, "large", bytes(64 * MiB))
    host.run(f"systemctl set-property --runtime {SLICE} MemoryMax=4M")  # as an administrator might
    host.run("cat /mnt/data/large >/dev/null", check=False)
    host.wait_until('mountctl status --json | grep -F \'"state": "failed"\'')
    assert (
        "5 engines died within 60 s; the last: the engine killed by SIGKILL, as the mount needed more memory"
        in (mount(host)["reason"])
    )
    host.run(f"systemctl set-property --runtime {SLICE} MemoryMax={MAX_MIB}M; mountctl restart data")
    assert host.run("cat /mnt/data/x").stdout == "in a slice"


@pytest.mark.slow
def test_what_an_engine_logs_is_found_though_it_is_of_another_unit(
    host: SystemdHost, engine: int, moto: S3Server
) -> None:
    bucket = mount(host)["source"].removeprefix("s3://").removesuffix("/")
    moto.put(bucket, "odd//name")
    in_force(host)
    host.run("ls /mnt/data/odd")
    host.wait_until("mountctl logs data | grep -F 'WARNING data: '")


@pytest.mark.slow
def test_fetchers_are_in_the_slice_of_their_engine(host: SystemdHost, engine: int) -> None:
    set_options(host, TARGET, f"memory-max = {MAX_MIB}", "fetchers = 1")
    host.run("mountctl reload")
    pid = in_force(host, old=engine)
    spawner = host.run(f"cat /proc/{pid}/task/{pid}/children").stdout.split()
    assert len(spawner) == 1
    host.wait_until(f"grep -F {SLICE}/ /proc/{spawner[0]}/cgroup")


@pytest.mark.slow
def test_a_stop_leaves_neither_processes_nor_slices(host: SystemdHost, engine: int) -> None:
    host.run("systemctl stop mountctl")
    assert not host.run(f"ls /proc/{engine}", check=False).stdout
    host.wait_until(f'test "$(systemctl is-active {SLICE})" = inactive')
    assert slices(host) == []


@pytest.mark.slow
def test_engines_end_by_a_stop_though_their_supervisor_was_killed(host: SystemdHost, engine: int) -> None:
    host.run("systemctl kill --signal=STOP --kill-who=main mountctl")  # so that it does nothing itself any more
    host.run("systemctl kill --signal=KILL --kill-who=main mountctl; systemctl stop mountctl")
    host.wait_until(f"! test -e /proc/{engine}")


@pytest.mark.slow
def test_limits_that_control_groups_can_not_meet_are_told_and_the_mount_is_served(
    host: SystemdHost, moto: S3Server, engine: int
) -> None:
    set_options(host, TARGET, f"memory-max = {MAX_MIB}", f"memory-high = {MAX_MIB}")
    if host.run("test -e /sys/fs/cgroup/memory", check=False).returncode:
        pytest.skip("cgroup v2 has memory.high")
    host.run("mountctl reload")
    host.wait_until("mountctl status --json | grep -F 'memory-high takes cgroup v2'")
    assert mount(host)["state"] == "ready"
    why = "memory-high takes cgroup v2, and here the memory controller is of v1"
    assert f"served without the limits that it asks for: {why}" in " ".join(host.run("mountctl status").stdout.split())
    assert f"mount.data.memory-high: this host can't see to it, and the mount is served without limits: {why}" in (
        host.run("mountctl check").stdout
    )
    found = json.loads(host.run("mountctl doctor --json", check=False).stdout)["findings"]
    assert [each["what"] for each in found if each["id"] == "mount-limits"] == [
        f"it has not the limits that it asks for: {why}"
    ]


@pytest.mark.slow
def test_a_systemd_that_hangs_holds_up_no_takeover_and_is_asked_again(host: SystemdHost, engine: int) -> None:
    os.kill(host._pid1, signal.SIGSTOP)
    try:
        host.run(f"kill -9 {engine}")
        host.wait_until("mountctl status --json | grep -F 'systemd does not answer'")
        assert (mount(host)["state"], mount(host)["engine"]["pid"] == engine) == ("ready", False)
        assert host.run("cat /mnt/data/x").stdout == "in a slice"
    finally:
        os.kill(host._pid1, signal.SIGCONT)
    in_force(host, old=engine)


@pytest.mark.slow
def test_a_systemd_without_a_bus_is_told(host: SystemdHost, engine: int) -> None:
    host.run("systemctl stop dbus.socket dbus.service")
    try:
        host.run("mountctl restart data")
        host.wait_until("mountctl status --json | grep -F 'systemd refuses it: '")
        assert host.run("cat /mnt/data/x").stdout == "in a slice"
    finally:
        host.run("systemctl start dbus.socket")
    in_force(host, old=engine)


# Completes its file when it is told to end.
_WRITER = """
import signal, sys
file = open("/mnt/data/late", "wb", buffering=0)
file.write(b"first, ")

def end(*_):
    file.write(b"last")
    file.close()
    sys.exit()

signal.signal(signal.SIGTERM, end)
open("/run/writes", "w").close()
signal.pause()
"""


@pytest.mark.slow
def test_a_shutdown_waits_for_no_engine_and_ends_none_before_its_service(
    host: SystemdHost, engine: int, bucket: str, moto: S3Server
) -> None:
    """The last test of this host."""
    assert "mountctl.service" in host.show(f"mountctl-data-{engine}.scope", "Before").split()
    unit = f"[Unit]\nAfter=mountctl.service\n[Service]\nExecStart={sys.executable} /run/writer.py"
    host.run(f"cat > /run/writer.py <<'END'\n{_WRITER}END")
    host.run(f"cat > /run/systemd/system/writer.service <<'END'\n{unit}\nEND")
    host.run("systemctl daemon-reload; systemctl start writer")
    host.wait_until("test -e /run/writes")
    host.shut_down()
    assert moto.boto.get_object(Bucket=bucket, Key="late")["Body"].read() == b"first, last"
