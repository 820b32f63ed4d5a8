"""Packages as `make packages` builds them, and throw-away hosts with a real systemd to install them on."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.servers import S3Server
from tests.service import systemd_host
from tests.service.systemd_host import SystemdHost

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SITE_PACKAGES: Final = "usr/lib/mountctl/lib/python3.11/site-packages"
# dpkg unpacks 5,000 files in four seconds, and a busy machine in a minute.
INSTALL_SECONDS_MAX: Final = 300.0
# For what a person starts in a shell: the environment of the tests has nothing to do there.
SHELL: Final = "env --ignore-environment PATH=/usr/sbin:/usr/bin"
SOURCE_DATE: Final = "1760000000"
PYTHON: Final = Path("/usr/bin/python3.11")


def lacking() -> str | None:
    """What this machine does not have to build and install a package; None if nothing."""
    if shutil.which("dpkg-deb") is None or not PYTHON.exists():
        return "no Debian with Python 3.11, for which these tests build"
    return systemd_host.lacking()


def built(into: Path, repository: Path = REPOSITORY, umask: int = 0o022) -> Path:
    """Builds both packages, of a copy of this repository if that is told. Returns the Debian one."""
    command = [sys.executable, repository / "packaging" / "package.py", "--into", into]
    environment = {"PYTHONPATH": str(repository), "SOURCE_DATE_EPOCH": SOURCE_DATE}
    subprocess.run(command, check=True, cwd=repository, env=os.environ | environment, umask=umask)
    (deb,) = into.glob("*.deb")
    return deb


def other_version(deb: Path, version: str, edits: Mapping[str, str] | None = None) -> Path:
    """A package of another version, whose code differs in that, and in `edits`: text behind modules there."""
    tree = deb.with_name(f"tree-{version}")
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*", f"Version: {version}-1", control.read_text(), flags=re.MULTILINE))
    for name, text in {"engine/__init__.py": f'__version__ = "{version}"\n', **(edits or {})}.items():
        module = tree / SITE_PACKAGES / name
        module.write_text(module.read_text() + text)
        for compiled in (module.parent / "__pycache__").glob(f"{module.stem}.*"):
            compiled.unlink()
    made = deb.with_name(f"mountctl_{version}.deb")
    subprocess.run(["dpkg-deb", "-Znone", "--build", tree, made], check=True, capture_output=True)
    shutil.rmtree(tree)
    return made


def install(host: SystemdHost, deb: Path, *, by_apt: bool = False) -> str:
    """Install a package, or upgrade to it. Returns what was printed; raises CalledProcessError.

    Args:
        host: where.
        deb: which is seen there.
        by_apt: as a person would. Otherwise by dpkg alone, which looks at no other packages and pages.
    """
    dpkg = f"dpkg --install --no-triggers --force-unsafe-io {deb} 2>&1"
    apt = f"DEBIAN_FRONTEND=noninteractive apt-get install --yes {deb} 2>&1"
    return host.run(apt if by_apt else dpkg, seconds_max=INSTALL_SECONDS_MAX).stdout


def configure(host: SystemdHost, server: S3Server, **buckets: str) -> None:
    """Two lines for each mount, which is /mnt/NAME, and where S3 is."""
    text = f'defaults = {{ endpoint-url = "{server.endpoint}", force-path-style = true, region = "us-east-1" }}\n'
    for name, bucket in buckets.items():
        text += f'mount.{name}.bucket = "{bucket}"\nmount.{name}.mountpoint = "/mnt/{name}"\n'
    host.run(f"cat > /etc/mountpoint-s3.d/tests.toml <<'END'\n{text}END")
    keys = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n"
    host.run(f"mkdir -p /root/.aws; cat > /root/.aws/credentials <<'END'\n{keys}END")


def fstab(host: SystemdHost, server: S3Server, bucket: str, mountpoint: str, *options: str) -> None:
    """A line more for a bucket at a mountpoint."""
    given = ",".join(
        ("_netdev", "noauto", f"endpoint-url={server.endpoint}", "force-path-style", "region=us-east-1", *options)
    )
    host.run(f"echo 's3://{bucket}/ {mountpoint} mountctl {given} 0 0' >> /etc/fstab; systemctl daemon-reload")
