"""What the packages bring, on a throw-away host with a real systemd: installed, started, waited for by units."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import rpmfile

from tests.servers import S3Server
from tests.service import installed
from tests.service.installed import SHELL, configure, fstab, install
from tests.service.systemd_host import SystemdHost

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed.lacking() is not None, reason=str(installed.lacking())),
]

# As on Debian, where root's PATH has it.
LOGROTATE: Final = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")


@pytest.fixture(scope="module")
def host(packages: Path) -> Iterator[SystemdHost]:
    """A host on which the package is installed, as it is after that."""
    with SystemdHost(packages) as host:
        install(host, packages / "first.deb", by_apt=True)
        yield host


@pytest.fixture
def bucket(host: SystemdHost, moto: S3Server) -> Iterator[str]:
    """A bucket with one file, mounted at /mnt/data by the service."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"installed")
    configure(host, moto, data=bucket)
    host.run("systemctl start mountctl && mountctl wait data")
    yield bucket
    host.run("mountctl start data; systemctl stop mountctl; rm /etc/mountpoint-s3.d/*")


def test_what_is_installed_starts_and_enables_nothing(host: SystemdHost) -> None:
    assert host.run("systemctl is-active mountctl", check=False).stdout == "inactive\n"
    assert host.run("systemctl is-enabled mountctl", check=False).stdout == "disabled\n"
    assert host.run("find /etc/systemd /run/systemd -name '*mountctl.service'").stdout == ""
    assert host.run("pgrep -f '[m]ountctl run'", check=False).stdout == ""


def test_what_is_installed_is_whole(host: SystemdHost) -> None:
    host.run("getent group mountctl && test -d /var/log/mountctl && test -x /sbin/mount.mountctl")
    host.run("for page in mountctl mountpoint-s3.toml mount.mountctl; do man --where $page; done")
    assert (
        "--timeout"
        in host.run(
            "bash -c '. /usr/share/bash-completion/completions/mountctl; complete -p mountctl'"
            "; COMP_WORDS='mountctl wait --ti' COMP_CWORD=2 _MOUNTCTL_COMPLETE=complete_bash mountctl"
        ).stdout
    )
    assert host.run("mountctl check").stdout == "/etc/mountpoint-s3.toml: 0 mounts, no errors\n"
    host.run("dpkg --verify mountctl")
    # Nothing was compiled anew, in files that no package has.
    host.run("find /usr/lib/mountctl -type f | sort >/run/there; dpkg -L mountctl | sort >/run/owned")
    assert host.run("comm -23 /run/there /run/owned").stdout == ""


def test_two_lines_and_a_start_are_a_mount(host: SystemdHost, bucket: str) -> None:
    assert host.run("cat /mnt/data/x").stdout == "installed"
    assert host.show("mountctl", "ActiveState") == "active"


def test_metrics_are_pushed_once_their_unit_is_enabled_and_mounts_do_not_mind_what_becomes_of_them(
    host: SystemdHost, bucket: str
) -> None:
    otlp_receiver = pytest.importorskip("tests.otlp_receiver", reason="needs the extra mountctl-s3[otlp]")
    connected = threading.Event()

    def enable(url: str) -> None:
        host.run(
            f"printf 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT={url}\\nMOUNTCTL_OTLP_SECONDS=1\\n' > /etc/mountctl-otlp.env;"
            "systemctl reenable mountctl-otlp; systemctl restart mountctl-otlp"
        )

    assert host.run("systemctl is-enabled mountctl-otlp", check=False).stdout == "disabled\n"
    with otlp_receiver.receiving() as receiver:
        enable(receiver.url)
        _, request = receiver.got.get(timeout=60)
    told = otlp_receiver.metrics(request)
    assert [point.as_double for point in told["mountctl_up"].gauge.data_points] == [1.0]
    [read] = told["mountctl_read_bytes"].sum.data_points
    assert {each.key: each.value.string_value for each in read.attributes} == {"mount": "data"}
    with otlp_receiver.hanging(connected.set) as url:
        enable(url)
        assert connected.wait(60)
        assert host.run("cat /mnt/data/x; mountctl status >/dev/null && echo fine").stdout == "installedfine\n"
    host.run("systemctl disable --now mountctl-otlp")
    assert host.show("mountctl-otlp", "Result") == "success"
    assert host.show("mountctl", "ActiveState") == "active"


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is missing: apt-get install logrotate")
def test_logrotate_takes_logs_away_while_they_are_written_and_no_line_is_lost(
    host: SystemdHost, bucket: str, packages: Path
) -> None:
    shutil.copy(str(LOGROTATE), packages / "logrotate")
    rotate = f"{packages}/logrotate --force --state /run/logrotate.state /etc/logrotate.d/mountctl"
    options = 'mount.data.debug = true\nmount.data.log-directory = "/var/log/mountctl"'
    host.run(f"echo '{options}' >> /etc/mountpoint-s3.d/tests.toml; mountctl reload")

    host.run(
        "(for n in $(seq 200); do test -e /mnt/data/missing-$n; sleep 0.01; done) & "
        f"for n in 1 2 3; do sleep 0.5; {rotate}; done; wait"
    )

    names = host.run("ls /var/log/mountctl").stdout.split()
    assert {"mountctl-data.log", "mountctl-data.log.1", "mountctl-data.log.2.gz"} <= set(names)
    host.run("systemctl stop mountctl")
    told = host.run("zcat --force /var/log/mountctl/*").stdout
    assert {int(each) for each in re.findall(r"missing-(\d+)", told)} == set(range(1, 201))


def test_a_unit_that_requires_a_mount_has_it_though_nothing_ran(host: SystemdHost, bucket: str) -> None:
    host.run("systemctl stop mountctl; ! test -e /mnt/data/x")
    host.run(
        "printf '[Unit]\\nRequiresMountsFor=/mnt/data/below\\n[Service]\\nType=oneshot\\nExecStart=cat /mnt/data/x\\n'"
        " > /run/systemd/system/reader.service; systemctl daemon-reload; systemctl start reader"
    )
    assert "installed" in host.run("journalctl --unit=reader --no-pager --output=cat").stdout
    assert host.show("mnt-data.mount", "FragmentPath") == "/run/systemd/generator/mnt-data.mount"
    # As a local file system it would come before the service that it comes after, and systemd would leave one out.
    host.run("systemctl daemon-reload")
    assert "local-fs.target" not in host.show("mnt-data.mount", "Before")
    host.run("systemctl add-wants multi-user.target mountctl.service reader.service")
    assert "cycle" not in host.run("systemd-analyze verify --man=no multi-user.target 2>&1", check=False).stdout
    host.run("systemctl disable mountctl.service reader.service")
    # A file that is broken costs its own units, and no boot.
    host.run("printf nonsense > /etc/mountpoint-s3.d/broken.toml; systemctl daemon-reload")
    assert host.show("mnt-data.mount", "FragmentPath") == "/run/systemd/generator/mnt-data.mount"


def test_a_unit_does_not_start_without_the_mount_that_it_requires(host: SystemdHost, bucket: str) -> None:
    host.run("mountctl stop data; systemctl daemon-reload")
    for unit in ("mnt-data.mount", "mountctl-wait@data"):
        assert host.run(f"systemctl start {unit}", check=False).returncode != 0
        assert "data is held" in host.run(f"journalctl --unit={unit} --no-pager --output=cat").stdout


def test_what_a_shell_says_of_modules_is_not_asked_for_a_mount(host: SystemdHost, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"by fstab")
    configure(host, moto)
    fstab(host, moto, bucket, "/mnt/line")
    for module in ("engine", "mountctl", "trio"):
        host.run(f"mkdir --parents /run/others/{module}; echo 'raise SystemExit(9)' > /run/others/{module}/__init__.py")
    host.run(f"mkdir --parents /mnt/line; {SHELL} PYTHONPATH=/run/others mount /mnt/line")

    assert host.run("cat /mnt/line/x").stdout == "by fstab"
    host.run("umount /mnt/line; : > /etc/fstab; rm /etc/mountpoint-s3.d/*; systemctl daemon-reload")


def test_a_unit_that_requires_a_mount_by_name_waits_for_it(host: SystemdHost, bucket: str) -> None:
    host.run("systemctl stop mountctl; systemctl start mountctl-wait@data.service")
    assert host.run("cat /mnt/data/x").stdout == "installed"


def test_the_rpm_has_the_files_of_the_deb_and_asks_for_what_it_needs(packages: Path) -> None:
    (rpm,) = packages.glob("*.rpm")
    with rpmfile.open(rpm) as opened:
        headers = opened.headers
    directories = [headers["dirnames"][index].decode() for index in headers["dirindexes"]]
    names = [name.decode() for name in headers["basenames"]]
    inside = {
        directory + name: flags for directory, name, flags in zip(directories, names, headers["fileflags"], strict=True)
    }
    listed = subprocess.run(
        ["dpkg-deb", "--contents", packages / "first.deb"], capture_output=True, text=True, check=True
    )
    of_deb = {line.split()[5].removeprefix(".") for line in listed.stdout.splitlines() if not line.startswith("d")}
    completion = {"/usr/share/zsh/site-functions/_mountctl", "/usr/share/zsh/vendor-completions/_mountctl"}
    only_one = {
        path for path in of_deb ^ {*inside} if path in of_deb or not any(p.startswith(f"{path}/") for p in inside)
    }

    assert only_one - {"/etc/mountpoint-s3.d"} == completion
    # RPMFILE_CONFIG and RPMFILE_NOREPLACE: what an administrator has changed stays.
    assert {path for path, flags in inside.items() if flags} == {"/etc/mountpoint-s3.toml", "/etc/logrotate.d/mountctl"}
    assert {inside["/etc/mountpoint-s3.toml"], inside["/etc/logrotate.d/mountctl"]} == {1 | 16}
    needed = {name.decode() for name in headers["requirename"]}
    assert {str(installed.PYTHON), "libfuse3.so.3(FUSE_3.12)(64bit)", "ca-certificates"} <= needed
    scripts = installed.REPOSITORY / "packaging" / "scripts"
    for name in ("preun", "postun", "posttrans"):
        assert headers[name].decode() == (scripts / f"rpm-{name}").read_text()
    assert "postin" not in headers


def test_the_same_commit_makes_the_same_packages_elsewhere_and_later(packages: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another" / "directory"
    leave = shutil.ignore_patterns(".git", ".venv", "build", "dist", ".*_cache", ".hypothesis", "__pycache__")
    shutil.copytree(installed.REPOSITORY, elsewhere, ignore=leave)
    subprocess.run(["chmod", "--recursive", "go=", elsewhere], check=True)
    deb = installed.built(tmp_path, elsewhere, umask=0o077)
    (rpm,) = tmp_path.glob("*.rpm")

    # Compared so, as pytest would look for the differences in megabytes.
    assert (deb.read_bytes() == (packages / "first.deb").read_bytes()) is True
    assert (rpm.read_bytes() == next(packages.glob("*.rpm")).read_bytes()) is True


def test_libraries_have_the_versions_that_are_written_down(packages: Path) -> None:
    listed = subprocess.run(
        ["dpkg-deb", "--contents", packages / "first.deb"], capture_output=True, text=True, check=True
    )
    brought = set(re.findall(r"site-packages/([^/]+)-([^-/]+)\.dist-info/METADATA$", listed.stdout, re.MULTILINE))
    lines = (installed.REPOSITORY / "packaging" / "constraints.txt").read_text().splitlines()
    written = {tuple(line.replace("-", "_").split("==")) for line in lines if "==" in line}

    assert {pair for pair in brought if pair[0] != "mountctl_s3"} <= written
