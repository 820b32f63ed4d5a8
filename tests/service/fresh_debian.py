"""A Debian as it is when it was just installed, with systemd and nothing else: for tests of what a package needs."""

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.service.installed import REPOSITORY

SUITE: Final = "bookworm"
# It takes a minute and the network to make, so it is kept, and `make clean` removes it.
ROOT: Final = REPOSITORY / "build" / f"fresh-{SUITE}"


def lacking() -> str | None:
    """What this machine does not have to make one; None if nothing."""
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed"
    if _mirror() is None:
        return f"this machine's apt has no source for {SUITE}"
    return None


def made() -> Path:
    """The root of one, which nobody may change. Raises CalledProcessError."""
    ROOT.parent.mkdir(exist_ok=True)
    with ROOT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ROOT.exists():
            fresh = ROOT.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            options = ["--variant=minbase", "--include=systemd-sysv"]
            subprocess.run(
                ["debootstrap", *options, SUITE, fresh, str(_mirror())], check=True, stdout=subprocess.DEVNULL
            )
            fresh.rename(ROOT)
    return ROOT


def _mirror() -> str | None:
    """Where this machine's apt has the suite from."""
    ask = ["apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"]
    try:
        told = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    found = [line.split() for line in told.splitlines()]
    return next((words[1] for words in found if words[0] == SUITE), None)
