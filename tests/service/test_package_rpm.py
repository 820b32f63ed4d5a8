"""The RPM package by rpm itself, which Debian has: what it refuses, and its scripts as rpm calls them.

rpm's database is empty here, so what the package needs is refused first and then left out (--nodeps).
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service import installed
from tests.service.installed import INSTALL_SECONDS_MAX, configure
from tests.service.systemd_host import SystemdHost

_LACKING = installed.lacking() or (None if shutil.which("rpm") else "rpm is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(_LACKING is not None, reason=str(_LACKING))]


@pytest.fixture
def host(packages: Path) -> Iterator[SystemdHost]:
    with SystemdHost(packages) as host:
        yield host


def rpm(host: SystemdHost, arguments: str) -> str:
    return host.run(f"rpm {arguments} 2>&1", seconds_max=INSTALL_SECONDS_MAX).stdout


def test_rpm_installs_goes_on_through_an_upgrade_and_removes(host: SystemdHost, packages: Path, moto: S3Server) -> None:
    (package,) = packages.glob("*.rpm")
    refused = host.run(f"rpm --install {package} 2>&1", check=False)
    assert refused.returncode != 0
    assert f"{installed.PYTHON} is needed by mountctl" in refused.stdout
    assert host.run("ls /usr/lib/mountctl", check=False).stdout == ""

    rpm(host, f"--install --nodeps {package}")
    assert host.run("systemctl is-active mountctl", check=False).stdout == "inactive\n"
    bucket = moto.bucket()
    moto.put(bucket, "x", b"by rpm")
    configure(host, moto, data=bucket)
    host.run("echo '# mine' >> /etc/mountpoint-s3.toml; systemctl start mountctl && mountctl wait data")
    before = host.show("mountctl", "MainPID")
    host.run("cd /mnt/data && setsid sleep 600 >/dev/null 2>&1 &")
    host.wait_until("ls -l /proc/*/cwd 2>/dev/null | grep -q /mnt/data")

    rpm(host, f"--upgrade --replacepkgs --nodeps {package}")
    assert host.show("mountctl", "MainPID") != before
    assert host.run("cat /mnt/data/x").stdout == "by rpm"
    assert "# mine" in host.run("cat /etc/mountpoint-s3.toml").stdout

    rpm(host, "--erase mountctl")
    assert "fuse.mountctl" not in host.run("cat /proc/mounts").stdout
    assert host.run("ls /usr/lib/mountctl", check=False).stdout == ""
    assert "# mine" in host.run("cat /etc/mountpoint-s3.toml.rpmsave").stdout
