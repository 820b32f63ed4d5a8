"""The packages on throw-away hosts with a real systemd: upgraded while programs use mounts, removed, purged."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service import installed
from tests.service.installed import SHELL, configure, fstab, install
from tests.service.systemd_host import SystemdHost

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed.lacking() is not None, reason=str(installed.lacking())),
]


@pytest.fixture
def host(packages: Path) -> Iterator[SystemdHost]:
    """A host of its own on which the first version is installed."""
    with SystemdHost(packages) as host:
        install(host, packages / "first.deb")
        yield host


@pytest.fixture
def bucket(host: SystemdHost, moto: S3Server) -> str:
    """A bucket with one file, mounted at /mnt/data by the service."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"installed")
    configure(host, moto, data=bucket)
    host.run("systemctl start mountctl && mountctl wait data")
    return bucket


def version(host: SystemdHost) -> str:
    """Of the supervisor that runs."""
    return str(json.loads(host.run("mountctl status --json").stdout)["supervisor"]["version"])


def engine(host: SystemdHost) -> int:
    return int(json.loads(host.wait_until("mountctl status --json"))["mounts"][0]["engine"]["pid"])


# Reads a file that it has open, and writes another from before the upgrade until after it.
_PROGRAM = """
import os, time
file = os.open("/mnt/data/x", os.O_RDONLY | os.O_DIRECT)
big = open("/mnt/data/big", "wb")
reads = 0
while not os.path.exists("/run/end"):
    assert os.pread(file, 100, 0) == b"installed"
    big.write(b"a" * 100_000)
    reads += 1
    time.sleep(0.01)
size = big.tell()
big.close()
print(f"wrote {size} reads {reads > 3}", flush=True)
"""


@contextmanager
def using(host: SystemdHost, server: S3Server, bucket: str) -> Iterator[None]:
    """A program that uses /mnt/data all the while; at the end it has seen no error, and its file is whole."""
    host.run(f"cat > /run/program.py <<'END'\n{_PROGRAM}END")
    host.run("setsid /usr/bin/python3 /run/program.py > /run/said 2>&1 < /dev/null &")
    host.wait_until("ls -l /proc/*/fd 2>/dev/null | grep -q /mnt/data/big")
    yield
    host.run("touch /run/end")
    said = host.wait_until(
        "grep -q reads /run/said && cat /run/said || { grep -q Traceback /run/said && cat /run/said; }"
    )
    assert said.startswith("wrote ")
    assert said.endswith(" reads True\n")
    assert server.boto.head_object(Bucket=bucket, Key="big")["ContentLength"] == int(said.split()[1])


@pytest.fixture
def program(host: SystemdHost, bucket: str, moto: S3Server) -> Iterator[None]:
    """A program that uses the service's mount all the while."""
    with using(host, moto, bucket):
        yield


def test_an_upgrade_is_noticed_by_no_program_and_all_processes_are_new(
    host: SystemdHost, packages: Path, program: None
) -> None:
    before = engine(host), host.show("mountctl", "MainPID")
    install(host, packages / "mountctl_9.0.0.deb")

    assert version(host) == "9.0.0"
    assert host.run("mountctl version").stdout == "mountctl 9.0.0\n"
    after = engine(host), host.show("mountctl", "MainPID")
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert host.run("grep -c fuse.mountctl /proc/mounts").stdout == "1\n"
    assert host.run("systemctl is-enabled mountctl", check=False).stdout == "disabled\n"


def test_a_version_that_does_not_run_leaves_the_old_one_serving(
    host: SystemdHost, packages: Path, program: None
) -> None:
    before = host.show("mountctl", "MainPID")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        install(host, packages / "mountctl_9.1.0.deb")

    assert "this version does not run here: ImportError: no such library" in failed.value.stdout
    assert host.show("mountctl", "MainPID") == before
    assert host.run("cat /mnt/data/x").stdout == "installed"
    # Another one mends it.
    install(host, packages / "mountctl_9.2.0.deb")


def test_a_version_that_refuses_the_configuration_leaves_the_old_one_serving(
    host: SystemdHost, packages: Path, program: None
) -> None:
    before = host.show("mountctl", "MainPID")
    host.run("echo 'nonsense = 1' >> /etc/mountpoint-s3.d/tests.toml")
    told = install(host, packages / "mountctl_9.0.0.deb")

    assert "the old one goes on" in told
    assert host.show("mountctl", "MainPID") == before


def test_an_upgrade_of_a_stopped_service_leaves_it_stopped(host: SystemdHost, packages: Path) -> None:
    install(host, packages / "mountctl_9.0.0.deb")
    assert host.run("systemctl is-active mountctl", check=False).stdout == "inactive\n"


def test_removed_is_unmounted_and_the_configuration_stays_until_purged(host: SystemdHost, bucket: str) -> None:
    host.run("systemctl enable mountctl; echo '# mine' >> /etc/mountpoint-s3.toml")
    host.run("cd /mnt/data && setsid sleep 600 >/dev/null 2>&1 &")
    host.wait_until("ls -l /proc/*/cwd 2>/dev/null | grep -q /mnt/data")
    host.run("dpkg --no-triggers --remove mountctl", seconds_max=installed.INSTALL_SECONDS_MAX)

    assert "fuse.mountctl" not in host.run("cat /proc/mounts").stdout
    assert host.run("pgrep -f '[/]usr/lib/mountctl'", check=False).stdout == ""
    assert host.run("ls /usr/lib/mountctl /usr/bin/mountctl", check=False).stdout == ""
    assert "# mine" in host.run("cat /etc/mountpoint-s3.toml").stdout
    assert host.run("test -d /var/lib/mountctl && ls /etc/mountpoint-s3.d").stdout == "tests.toml\n"

    host.run("dpkg --no-triggers --purge mountctl", seconds_max=installed.INSTALL_SECONDS_MAX)
    left = host.run(
        "ls -d /etc/*/mountctl* /etc/mountpoint-s3* /var/*/mountctl* /run/mountctl*; "
        "find /etc/systemd -name mountctl.service",
        check=False,
    ).stdout
    assert left == ""


# Writes when it is told to end, as a database would.
_WRITER = """
[Unit]
RequiresMountsFor=/mnt/data
[Service]
ExecStart=/bin/sh -c "trap 'echo late > /mnt/data/late; exit' TERM; : > /run/writes; while :; do sleep 0.1; done"
"""


def test_at_shutdown_a_unit_that_requires_a_mount_ends_before_it(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    host.run(f"cat > /etc/systemd/system/writer.service <<'END'\n{_WRITER}END\nsystemctl daemon-reload")
    host.run("systemctl start writer")
    host.wait_until("test -e /run/writes")
    host.shut_down()

    assert moto.boto.get_object(Bucket=bucket, Key="late")["Body"].read() == b"late\n"


def test_the_scripts_of_the_rpm_do_the_same(host: SystemdHost, packages: Path, program: None) -> None:
    scripts = installed.REPOSITORY / "packaging" / "scripts"
    before = host.show("mountctl", "MainPID")

    def call(name: str, count: int) -> None:
        text = (scripts / name).read_text()
        host.run(f"cat > /run/script <<'END'\n{text}END\nsh -e /run/script {count}")

    # What RPM calls for an upgrade: the new one's, and the old one's with the number of those that stay.
    call("rpm-preun", 1)
    call("rpm-postun", 1)
    call("rpm-posttrans", 1)
    assert host.show("mountctl", "MainPID") != before
    assert host.run("cat /mnt/data/x").stdout == "installed"


def test_the_scripts_of_the_rpm_unmount_when_it_is_removed(host: SystemdHost, bucket: str) -> None:
    for name in ("rpm-preun", "rpm-postun"):
        text = (installed.REPOSITORY / "packaging" / "scripts" / name).read_text()
        host.run(f"cat > /run/script <<'END'\n{text}END\nsh -e /run/script 0")
    assert "fuse.mountctl" not in host.run("cat /proc/mounts").stdout
    assert host.run("systemctl is-active mountctl", check=False).stdout == "inactive\n"


def versions(host: SystemdHost, *places: str) -> list[str]:
    """Of the engines of supervisors with one mount each, by their runtime directories."""
    told = [json.loads(host.run(f"mountctl --runtime-dir {place} status --json").stdout) for place in places]
    return [status["mounts"][0]["engine"]["version"] for status in told]


def test_removing_the_package_unmounts_lines_of_fstab(host: SystemdHost, moto: S3Server) -> None:
    configure(host, moto)
    fstab(host, moto, moto.bucket(), "/mnt/line")
    host.run("systemctl start mnt-line.mount")

    host.run("dpkg --no-triggers --remove mountctl", seconds_max=installed.INSTALL_SECONDS_MAX)
    assert "fuse.mountctl" not in host.run("cat /proc/mounts").stdout
    host.wait_until("! pgrep -f '[m]ount.mountctl|[e]ngine.zygote'")


@pytest.fixture
def by_fstab(host: SystemdHost, moto: S3Server) -> str:
    """A bucket with one file, mounted at /mnt/data by its line of fstab, while no service runs."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"installed")
    configure(host, moto)
    fstab(host, moto, bucket, "/mnt/data")
    host.run("systemctl start mnt-data.mount")
    return bucket


def test_an_upgrade_hands_over_mounts_whoever_started_their_supervisors(
    host: SystemdHost, packages: Path, moto: S3Server, by_fstab: str
) -> None:
    fstab(host, moto, by_fstab, "/mnt/by-hand")
    host.run(f"mkdir /mnt/by-hand; {SHELL} mount /mnt/by-hand")
    host.run(
        "systemd-run --unit=own --quiet mountctl --runtime-dir /srv/own mount"
        f" s3://{by_fstab}/ /mnt/own --endpoint-url {moto.endpoint} --force-path-style --region us-east-1"
    )
    host.wait_until("mountctl --runtime-dir /srv/own wait mnt-own")
    places = "/run/mountctl-mounts/mnt-data", "/run/mountctl-mounts/mnt-by-hand", "/srv/own"
    before = versions(host, *places)
    with using(host, moto, by_fstab):
        told = install(host, packages / "mountctl_9.0.0.deb")

    assert "mountctl:" not in told
    assert "9.0.0" not in before
    assert versions(host, *places) == ["9.0.0"] * 3


def test_an_upgrade_hands_over_a_service_that_systemd_does_not_run(
    host: SystemdHost, packages: Path, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"installed")
    configure(host, moto, data=bucket)
    host.run("systemd-run --unit=other --quiet mountctl run")
    host.wait_until("mountctl wait data")
    with using(host, moto, bucket):
        install(host, packages / "mountctl_9.0.0.deb")

    assert versions(host, "/run/mountctl") == ["9.0.0"]


def test_a_supervisor_that_hangs_holds_up_no_upgrade(
    host: SystemdHost, packages: Path, moto: S3Server, by_fstab: str
) -> None:
    fstab(host, moto, by_fstab, "/mnt/well")
    host.run(f"mkdir /mnt/well; {SHELL} mount /mnt/well && kill -STOP $(cat /run/mountctl-mounts/mnt-data/lock)")
    told = install(host, packages / "mountctl_9.0.0.deb")

    assert "some mounts go on with their old engines" in told
    assert versions(host, "/run/mountctl-mounts/mnt-well") == ["9.0.0"]
    assert host.run("cat /mnt/data/x").stdout == "installed"
    host.run("kill -CONT $(cat /run/mountctl-mounts/mnt-data/lock); mountctl upgrade --others")
    assert versions(host, "/run/mountctl-mounts/mnt-data") == ["9.0.0"]
