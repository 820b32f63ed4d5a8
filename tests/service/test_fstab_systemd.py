"""Lines of fstab under a real systemd, which makes units of them: mounted, unmounted, or failed with a reason."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service import systemd_host
from tests.service.systemd_host import SystemdHost

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(systemd_host.lacking() is not None, reason=str(systemd_host.lacking()))


@pytest.fixture(scope="module")
def host(moto: S3Server) -> Iterator[SystemdHost]:
    """A host without a supervisor, whose fstab has a line to mount, one for the first use, and one without a bucket."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"from fstab")
    options = f"_netdev,nosuid,nodev,noauto,ro,endpoint-url={moto.endpoint},force-path-style,region=us-east-1"
    lines = [
        f"s3://{bucket}/ /mnt/now mountctl {options} 0 0",
        f"s3://{bucket}/ /mnt/later mountctl {options},x-systemd.automount 0 0",
        f"s3://no-such-bucket/ /mnt/never mountctl {options} 0 0",
    ]
    keys = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n"
    shared = {REPOSITORY, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    with SystemdHost(*sorted(shared)) as host:
        host.run(f"ln -s {sys.prefix}/bin/mountctl /sbin/mount.mountctl; mkdir -p /root/.aws")
        host.run(f"cat > /root/.aws/credentials <<'END'\n{keys}END")
        host.run("cat > /etc/fstab <<'END'\n{}\nEND".format("\n".join(lines)))
        host.run("systemctl daemon-reload")
        yield host


def processes(host: SystemdHost) -> str:
    return host.run("pgrep -fa '[m]ount.mountctl|[e]ngine.zygote'", check=False).stdout


def test_a_line_is_mounted_and_unmounted_by_its_unit(host: SystemdHost) -> None:
    host.run("systemctl start mnt-now.mount")
    assert host.show("mnt-now.mount", "ActiveState") == "active"
    assert host.run("cat /mnt/now/x").stdout == "from fstab"
    assert "mount.mountctl" in processes(host)

    host.run("systemctl stop mnt-now.mount")
    assert host.show("mnt-now.mount", "Result") == "success"
    host.wait_until("! pgrep -f '[m]ount.mountctl|[e]ngine.zygote'")


@pytest.mark.skipif(not Path("/dev/autofs").exists(), reason="this kernel has no autofs")
def test_a_line_with_an_automount_is_mounted_by_the_first_who_looks(host: SystemdHost) -> None:
    # systemd looks for the device once.
    host.run("mknod /dev/autofs c 10 235; systemctl daemon-reexec; systemctl start mnt-later.automount")
    assert processes(host) == ""
    assert host.run("timeout 30 cat /mnt/later/x").stdout == "from fstab"

    host.run("systemctl stop mnt-later.automount mnt-later.mount")
    host.wait_until("! pgrep -f '[m]ount.mountctl|[e]ngine.zygote'")


def test_a_line_that_cannot_be_mounted_fails_with_the_reason(host: SystemdHost) -> None:
    assert host.run("systemctl start mnt-never.mount", check=False).returncode != 0
    assert host.show("mnt-never.mount", "Result") == "exit-code"
    assert "'no-such-bucket' does not exist" in host.run("journalctl --unit=mnt-never.mount --no-pager").stdout
    assert processes(host) == ""
