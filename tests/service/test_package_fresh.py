"""The package on a Debian that has nothing else: from the file to a mount, and what is there when it boots again.

`pytest -s` shows how long each step took, which docs/guides/installation.md tells.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service import fresh_debian, installed
from tests.service.installed import INSTALL_SECONDS_MAX, configure, install
from tests.service.systemd_host import SystemdHost

_LACKING = installed.lacking() or fresh_debian.lacking()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(_LACKING is not None, reason=str(_LACKING))]

_READER = """
[Unit]
RequiresMountsFor=/mnt/data/below
[Service]
Type=oneshot
ExecStart=cat /mnt/data/x
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def fresh(packages: Path) -> Iterator[SystemdHost]:
    """A Debian that knows what there is to be installed."""
    with SystemdHost(packages, root=fresh_debian.made(), target="multi-user.target") as host:
        host.run("apt-get update", seconds_max=INSTALL_SECONDS_MAX)
        yield host


def test_a_package_two_lines_and_a_start_are_a_mount_also_after_the_next_boot(
    fresh: SystemdHost, packages: Path, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"fresh")
    begun = time.monotonic()
    install(fresh, packages / "first.deb", by_apt=True)
    there = time.monotonic()
    configure(fresh, moto, data=bucket)
    fresh.run("systemctl enable --now mountctl")
    assert fresh.run("cat /mnt/data/x").stdout == "fresh"
    print(f"\napt install {there - begun:.1f} s, from then to a file's bytes {time.monotonic() - there:.1f} s")

    fresh.run(f"cat > /etc/systemd/system/reader.service <<'END'\n{_READER}END\nsystemctl enable reader")
    fresh.reboot()
    assert fresh.show("mountctl", "ActiveState") == "active"
    assert fresh.run("cat /mnt/data/x").stdout == "fresh"
    assert fresh.show("reader", "Result") == "success"
    journal = fresh.run("journalctl --boot --unit=reader --output=cat --no-pager").stdout
    assert "fresh" in journal
    assert "cycle" not in fresh.run("journalctl --boot --no-pager").stdout
    assert fresh.run("systemctl --failed --quiet").stdout == ""


def test_without_the_python_that_it_is_for_nothing_is_unpacked_and_that_is_said(
    fresh: SystemdHost, packages: Path
) -> None:
    done = fresh.run(f"dpkg --install {packages}/first.deb 2>&1", check=False)

    assert done.returncode != 0
    assert "mountctl pre-depends on python3.11" in done.stdout
    assert fresh.run("ls /usr/lib/mountctl", check=False).stdout == ""
    forced = fresh.run(
        f"dpkg --force-depends --no-triggers --install {packages}/first.deb 2>&1",
        check=False,
        seconds_max=INSTALL_SECONDS_MAX,
    )
    assert forced.returncode != 0
    assert "it needs /usr/bin/python3.11, which this host does not have" in forced.stdout
