"""`mountctl bench NAME`: how fast one's own bucket is, through the mount's own options. Called by doctor_commands.py.

An engine of its own in a mount namespace of its own (measuring.py), so that no cache helps, no other program's requests
are counted, and nothing is left mounted. Existing objects are read; writing is asked for.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mountctl.config.load import load
from mountctl.config.words import did_you_mean
from mountctl.cost import Prices, counted
from mountctl.doctor.host_probe import supervisor_pid
from mountctl.doctor.processes import environment_of
from mountctl.errors import MountctlError, UnknownMount
from mountctl.interpreter import PYTHON
from mountctl.measuring import Measured, Task

# Of the JSON's form. Keys are added freely; one that is renamed or removed makes it another.
SCHEMA: Final = 1
# Beyond the seconds that are asked for: start, mount, what is under way, unmount.
_PATIENCE_SECONDS: Final = 90.0
_END_SECONDS_MAX: Final = 30.0


class BenchFailed(MountctlError):
    """Nothing could be measured; the text says why."""


def bench(config: Path, runtime: Path, name: str, *, seconds: float, size_mib: int, write: bool, as_json: bool) -> int:
    """Measure and print. Returns 0, or 1 if something that was written is left. Raises UnknownMount, BenchFailed.

    Args:
        config: the file.
        runtime: of a supervisor, whose environment is used if there is one.
        name: of the mount.
        seconds: about how long.
        size_mib: of the file that is written.
        write: also write, and delete what was written.
        as_json: print JSON.
    """
    loaded = load(config)
    mounts, prices = loaded.mounts, loaded.supervisor.prices
    if name not in mounts:
        raise UnknownMount(f"no mount {name} in {config}{did_you_mean(name, tuple(mounts))}")
    spec = mounts[name]
    if write and (spec.read_only or not spec.allow_delete):
        lacks = "it is read-only" if spec.read_only else "it has no allow-delete, so nothing could be cleaned up"
        raise BenchFailed(f"mount {name}: nothing is written there, as {lacks}")
    if os.geteuid() != 0:
        raise BenchFailed("bench mounts the bucket for itself: run it as root")
    environment = environment_of(supervisor_pid(runtime)).variables
    directory = tempfile.mkdtemp(prefix="mountctl-bench-")
    try:
        task = Task(spec=spec, directory=directory, seconds=seconds, size_mib=size_mib, write=write)
        measured = _measure(task, environment)
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    if measured.error:
        raise BenchFailed(f"mount {name}: {measured.error}")
    # Another server than Amazon's has Amazon's prices only if the file says so.
    known = prices != Prices() or not spec.endpoint_url
    if as_json:
        cost = counted(measured.requests).cost(prices) if known else None
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "mount": name,
            **measured.model_dump(),
            "cost": cost,
            "currency": prices.currency if known else None,
        }
        sys.stdout.write(f"{json.dumps(told, indent=2)}\n")
    else:
        sys.stdout.write("\n".join(lines(measured, prices if known else None)) + "\n")
    if measured.left:
        sys.stderr.write(f"mountctl: this could not be deleted: {spec.source}{measured.left}\n")
    return 1 if measured.left else 0


def lines(measured: Measured, prices: Prices | None) -> Iterator[str]:
    """For a person. Traffic is not in the cost: within a region Amazon takes nothing for it."""
    rows = (
        ("first byte", measured.first_byte_ms, "ms", "of a file, median"),
        ("sequential read", measured.read_mb_per_second, "MB/s", "the largest file that was seen"),
        ("small files read", measured.small_files_per_second, "/s", "one behind the other"),
        ("names listed", measured.list_names_per_second, "/s", f"of {measured.listed}"),
        ("sequential write", measured.write_mb_per_second, "MB/s", "until it is in S3"),
        ("small files written", measured.small_writes_per_second, "/s", "one behind the other, until they are in S3"),
    )
    for what, value, unit, how in rows:
        if value is not None:
            yield f"{what:<20} {value:>10.1f} {unit:<5} {how}"
    if not measured.listed:
        yield "there is no file to read: --write makes some, where the mount allows that"
    requests = ", ".join(f"{count} {name}" for name, count in sorted(measured.requests.items()))
    cost = "" if prices is None else f", {counted(measured.requests).cost(prices):.6f} {prices.currency} {_by(prices)}"
    yield f"{'requests':<20} {requests or 'none'}{cost}"


def _by(prices: Prices) -> str:
    return "at S3 Standard's prices in us-east-1" if prices == Prices() else "at the configured prices"


def _measure(task: Task, environment: Mapping[str, str]) -> Measured:
    command = ["unshare", "--mount", "--propagation", "private", *PYTHON, "-m", "mountctl.measuring"]
    limit = task.seconds + _PATIENCE_SECONDS
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(task.model_dump_json(by_alias=True).encode(), limit)
    except subprocess.TimeoutExpired:
        raise BenchFailed(
            f"no end within {limit:.0f} s: does S3 answer? (`mountctl doctor {task.spec.name}`)"
        ) from None
    finally:
        _end(process)
    if process.returncode:
        said = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise BenchFailed(said or f"measuring ended with exit code {process.returncode}")
    return Measured.model_validate_json(out)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have it delete what it wrote; then all its processes are killed, and the mount goes with them."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS_MAX)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
