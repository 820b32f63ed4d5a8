"""What processes cost, by /proc. Used by bench/mounts.py and bench/fast_s3.py."""

import contextlib
import os
import re
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for tasks in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (tasks / "children").read_text().split())
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of all threads so far, of those that live."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_SECOND


def memory_of(pid: int, name: str) -> int:
    """Bytes of a process in mappings of a file of that name, what is shared in proportion (PSS)."""
    found = re.compile(rf"^[0-9a-f]+-[0-9a-f]+ .*{re.escape(name)}.*$(?:\n(?!Pss:).*)*?\nPss: +(\d+) kB", re.MULTILINE)
    return sum(int(kib) for kib in found.findall(Path(f"/proc/{pid}/smaps").read_text())) * 1024


def memory(pids: list[int]) -> int:
    """Bytes that are theirs, what is shared in proportion (PSS)."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            kib += int(found.group(1)) if found else 0
    return kib * 1024
