"""`mountctl doctor` under a real systemd: what it says of our own unit, and of one that is sandboxed too much."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service import systemd_host
from tests.service.systemd_host import SystemdHost
from tests.service.test_systemd import REPOSITORY, UNIT, configure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(systemd_host.lacking() is not None, reason=str(systemd_host.lacking())),
]


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    shared = {REPOSITORY, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    with SystemdHost(*sorted(shared)) as host:
        host.run(f"cp {UNIT} /etc/systemd/system/ && ln -sf {sys.prefix}/bin/mountctl /usr/bin/mountctl")
        yield host


def _bad(host: SystemdHost) -> set[str]:
    """Ids of what is not as it should be of the unit and its process."""
    done = host.run("mountctl doctor --json", check=False)
    found = [each for each in json.loads(done.stdout)["findings"] if each["severity"] != "ok"]
    return {each["id"] for each in found if each["id"].startswith(("unit", "supervisor"))}


def test_our_own_unit_has_no_finding_and_one_that_hides_its_mounts_has(host: SystemdHost, moto: S3Server) -> None:
    configure(host, moto, moto.bucket(), "data")
    host.run("systemctl start mountctl")
    try:
        assert _bad(host) == set()
        host.run(
            "printf '[Service]\\nPrivateTmp=yes\\nFileDescriptorStoreMax=1\\n'"
            " > /etc/systemd/system/mountctl.service.d/unwise.conf;"
            " systemctl daemon-reload; systemctl restart mountctl"
        )
        assert _bad(host) == {"unit-sandbox", "unit-fdstore", "supervisor-namespace"}
    finally:
        host.run("systemctl stop mountctl")
