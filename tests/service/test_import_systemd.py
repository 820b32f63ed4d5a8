"""`mountctl import --switch` under a real systemd: a unit, and a line that systemd mounts for the first who looks."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MotoServer
from tests.service import systemd_host
from tests.service.systemd_host import SystemdHost

REPOSITORY = Path(__file__).resolve().parents[2]
MOUNTCTL = f"env PYTHONPATH={REPOSITORY} {sys.prefix}/bin/mountctl"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(systemd_host.lacking() is not None, reason=str(systemd_host.lacking())),
    pytest.mark.skipif(shutil.which("s3fs") is None, reason="s3fs is not installed: apt-get install s3fs"),
]


@pytest.fixture(scope="module")
def host(moto: MotoServer) -> Iterator[SystemdHost]:
    """A host with a supervisor that has no mounts, a service that mounts by s3fs, and a line of fstab that does."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"from s3")
    options = f"allow_other,use_path_request_style,url={moto.endpoint},passwd_file=/etc/passwd-s3fs"
    service = f"[Service]\nType=forking\nExecStart=/usr/bin/s3fs {bucket} /mnt/unit -o {options}\n"
    service += "[Install]\nWantedBy=multi-user.target\n"
    line = f"{bucket} /mnt/line fuse.s3fs noauto,x-systemd.automount,{options} 0 0"
    shared = {REPOSITORY, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    with SystemdHost(*sorted(shared)) as host:
        host.run("mkdir -p /mnt/unit /mnt/line; echo test:test > /etc/passwd-s3fs; chmod 600 /etc/passwd-s3fs")
        host.run(f"cat > /etc/systemd/system/old.service <<'END'\n{service}END")
        host.run(f"echo '{line}' > /etc/fstab; rm -rf /etc/mountpoint-s3.toml /etc/mountpoint-s3.d")
        host.run("echo > /etc/mountpoint-s3.toml; systemctl daemon-reload; systemctl enable --now old.service")
        host.run(f"systemd-run --unit=supervisor {MOUNTCTL} run")
        host.wait_until(f"{MOUNTCTL} status --alive")
        yield host


def switch(host: SystemdHost, source: str, name: str) -> str:
    done = host.run(
        f"{MOUNTCTL} import {source} --write-credentials /etc/keys --switch {name} --yes 2>&1; echo code $?"
    )
    return done.stdout


def test_a_unit_is_stopped_and_disabled_and_its_mount_is_ours(host: SystemdHost) -> None:
    assert host.run("findmnt -no FSTYPE /mnt/unit").stdout.strip() == "fuse.s3fs"

    said = switch(host, "old.service", "unit")

    assert "code 0" in said, said
    assert host.run("findmnt -no FSTYPE /mnt/unit").stdout.strip() == "fuse.mountctl"
    assert host.run("cat /mnt/unit/x").stdout == "from s3"
    assert host.show("old.service", "ActiveState") == "inactive"
    assert host.show("old.service", "UnitFileState") == "disabled"


@pytest.mark.skipif(not Path("/dev/autofs").exists(), reason="this kernel has no autofs")
def test_an_automount_of_systemds_makes_room(host: SystemdHost) -> None:
    host.run("mknod /dev/autofs c 10 235; systemctl daemon-reexec; systemctl start mnt-line.automount")
    assert host.run("timeout 30 cat /mnt/line/x").stdout == "from s3"

    said = switch(host, "/etc/fstab", "line")

    assert "code 0" in said, said
    assert host.run("findmnt -no FSTYPE /mnt/line").stdout.split() == ["fuse.mountctl"]
    assert host.run("cat /mnt/line/x").stdout == "from s3"
