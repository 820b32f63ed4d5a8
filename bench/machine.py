"""On what a bench ran, for its results."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from bench.peers import OURS, Peer


def machine() -> dict[str, str]:
    """Of this one."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": platform.release().partition("-")[0],
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def version(peer: Peer) -> str:
    """What a peer says of itself."""
    if peer is OURS:
        return metadata.version("mountctl-s3")
    told = subprocess.run([peer.command[0], "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)?\S*", told.stdout + told.stderr)
    return found.group() if found else "unknown"
