"""The peer mount-s3 as a program: MOUNT_S3's, or one that is built here. `python -m bench.build_mount_s3` builds it.

What is built is bench/mount_s3, a small program around Mountpoint's published library; where cargo, cmake and libclang
are present it takes some ten minutes on two cores, once, and nothing is left in the checkout.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.fast_s3 import Missing

SOURCE: Final = Path(__file__).with_name("mount_s3")
NAME: Final = "mount-s3"


def cache() -> Path:
    """Where what was built is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mountctl-bench" / "mount-s3"


def program() -> Path:
    """A program that is there. Raises Missing."""
    if named := os.environ.get("MOUNT_S3"):
        return Path(named)
    built = cache() / "release" / NAME
    if not built.exists():
        raise Missing("the peer mount-s3: name one in MOUNT_S3, or build one by `make bench-mount-s3` (ten minutes)")
    return built


def build() -> None:
    """Build it, or what has changed. Raises Missing, and subprocess.CalledProcessError if it does not compile."""
    if shutil.which("cargo") is None or shutil.which("cmake") is None:
        raise Missing("to build the peer mount-s3: cargo, and apt-get install cmake libclang-dev")
    crate = cache() / "source"  # a copy, as cargo writes a lock file beside
    shutil.copytree(SOURCE, crate, dirs_exist_ok=True)
    subprocess.run(["nice", "cargo", "build", "--release", "--target-dir", cache()], cwd=crate, check=True)


if __name__ == "__main__":
    try:
        build()
    except Missing as missing:
        sys.exit(str(missing))
    print(program())
