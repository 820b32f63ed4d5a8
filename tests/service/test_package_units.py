"""Units of others beside the package, on a throw-away host with a real systemd: automounts, order, waiting, slices."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service import installed
from tests.service.installed import configure, install
from tests.service.systemd_host import SystemdHost

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed.lacking() is not None, reason=str(installed.lacking())),
]

OF_MOUNT = "[m]ount.mountctl|[m]ountctl run"


@pytest.fixture(scope="module")
def host(packages: Path) -> Iterator[SystemdHost]:
    """A host on which the package is installed."""
    with SystemdHost(packages, limits=True) as host:
        install(host, packages / "first.deb")
        yield host


@pytest.fixture
def bucket(host: SystemdHost, moto: S3Server) -> Iterator[str]:
    """A bucket with one file, which the configuration has at /mnt/data; nothing runs yet."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"for units")
    configure(host, moto, data=bucket)
    host.run("systemctl daemon-reload")
    yield bucket
    host.run("rm /etc/mountpoint-s3.d/*; systemctl stop mountctl")


def unit(host: SystemdHost, name: str, dependencies: str, *lines: str) -> None:
    """A service that reads the file in the mount once."""
    text = "\n".join([f"[Unit]\n{dependencies}\n[Service]", *lines, "Type=oneshot", "ExecStart=cat /mnt/data/x"])
    host.run(f"cat > /run/systemd/system/{name}.service <<'END'\n{text}\nEND")
    host.run("systemctl daemon-reload")


def said(host: SystemdHost, name: str) -> str:
    return host.run(f"journalctl --unit={name} --no-pager --output=cat").stdout


@pytest.mark.skipif(not Path("/dev/autofs").exists(), reason="this kernel has no autofs")
def test_a_line_of_fstab_with_an_automount_is_mounted_by_the_first_who_looks(host: SystemdHost, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"on demand")
    configure(host, moto)  # keys
    options = f"_netdev,nofail,x-systemd.automount,endpoint-url={moto.endpoint},force-path-style,region=us-east-1"
    host.run(f"echo 's3://{bucket}/ /mnt/later mountctl {options} 0 0' > /etc/fstab")
    # systemd looks for the device once.
    host.run("mknod /dev/autofs c 10 235; systemctl daemon-reexec; systemctl start mnt-later.automount")
    assert host.run(f"pgrep -fa '{OF_MOUNT}'", check=False).stdout == ""

    assert host.run("timeout 60 cat /mnt/later/x").stdout == "on demand"
    assert host.show("mnt-later.mount", "ActiveState") == "active"

    host.run("systemctl stop mnt-later.automount mnt-later.mount")
    host.wait_until(f"! pgrep -f '{OF_MOUNT}'")
    host.run(": > /etc/fstab; rm /etc/mountpoint-s3.d/*; systemctl daemon-reload")


def test_a_unit_after_a_mount_that_is_started_with_it_finds_it(host: SystemdHost, bucket: str) -> None:
    unit(host, "later", "Wants=mnt-data.mount\nAfter=mnt-data.mount")
    host.run("systemctl start later")
    assert "for units" in said(host, "later")
    assert host.show("mountctl", "ActiveState") == "active"


def test_a_unit_that_requires_a_path_within_a_mount_finds_it(host: SystemdHost, bucket: str) -> None:
    unit(host, "within", "RequiresMountsFor=/mnt/data/below")
    host.run("systemctl start within")
    assert "for units" in said(host, "within")


def test_a_unit_that_requires_the_wait_for_a_mount_by_its_name_finds_it(host: SystemdHost, bucket: str) -> None:
    unit(host, "waiting", "Requires=mountctl-wait@data.service\nAfter=mountctl-wait@data.service")
    host.run("systemctl start waiting")
    assert "for units" in said(host, "waiting")


def test_a_unit_that_waits_by_command_finds_the_mount_or_fails(host: SystemdHost, bucket: str) -> None:
    wait = "ExecStartPre=mountctl wait data --timeout 60"
    unit(host, "commanding", "Wants=mountctl.service\nAfter=mountctl.service", wait)
    host.run("systemctl start commanding")
    assert "for units" in said(host, "commanding")

    host.run("mountctl stop data")
    assert host.run("systemctl start commanding", check=False).returncode != 0
    assert "data is held" in said(host, "commanding")
    host.run("mountctl start data")


def test_a_mount_with_a_limit_has_a_slice(host: SystemdHost, bucket: str) -> None:
    host.run("echo 'mount.data.memory-max = 640' >> /etc/mountpoint-s3.d/tests.toml; systemctl start mountctl")
    host.wait_until("mountctl status data --json | grep -F '\"trouble\": null'")
    assert host.show("mountctl-data.slice", "MemoryMax") == str(640 << 20)
    assert int(host.show("mountctl-data.slice", "MemoryCurrent")) > 0
    assert host.run("cat /mnt/data/x").stdout == "for units"
    host.run("systemctl stop mountctl")
    host.wait_until('test "$(systemctl is-active mountctl-data.slice)" = inactive')
