"""Measures a bucket through an engine of its own: `python -m mountctl.measuring`, in a mount namespace of its own.

Started by commands/bench.py, which ends it when it takes too long; its mount goes with it. Reads a Task as JSON from
stdin, prints a Measured. Reads objects that are there; only with `write` it makes some, and deletes them again.
"""

import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from pydantic import BaseModel, ConfigDict

from engine.spec import KiB, MiB, MountSpec
from mountctl.interpreter import PYTHON

# A listing's first pages tell; a bucket may have billions.
FILES_MAX: Final = 5000
# What one GET brings, whatever the part size.
SMALL_BYTES_MAX: Final = 128 * KiB
FIRST_BYTES_MAX: Final = 20
WRITTEN_FILES: Final = 20
_CHUNK_BYTES: Final = MiB
_MOUNTED_SECONDS_MAX: Final = 60.0
_END_SECONDS_MAX: Final = 20.0


class Task(BaseModel):
    """What is to be measured.

    Args:
        spec: the mount.
        directory: where it is mounted meanwhile, an empty directory.
        seconds: in all, about.
        size_mib: of the file that is written.
        write: also write, and delete what was written.
    """

    model_config = ConfigDict(frozen=True)

    spec: MountSpec
    directory: str
    seconds: float
    size_mib: int
    write: bool


class Measured(BaseModel):
    """What was measured. None: there was nothing to measure it by (no file that is large or small enough).

    Args:
        error: why there is nothing at all.
        list_names_per_second: entries of directories, first seen.
        listed: how many.
        first_byte_ms: from open(2) to the first byte of a file, median.
        read_mb_per_second: of one file from its beginning, in 10**6 bytes.
        small_files_per_second: open, read, close, one behind the other.
        write_mb_per_second: of one file, until it is in S3.
        small_writes_per_second: one behind the other, until they are in S3.
        left: what was written and could not be deleted.
        requests: to S3, by S3's names, all of them.
    """

    error: str = ""
    list_names_per_second: float | None = None
    listed: int = 0
    first_byte_ms: float | None = None
    read_mb_per_second: float | None = None
    small_files_per_second: float | None = None
    write_mb_per_second: float | None = None
    small_writes_per_second: float | None = None
    left: str = ""
    requests: dict[str, int] = {}


def main() -> int:
    """Measure what stdin asks. Returns the exit code."""
    signal.signal(signal.SIGTERM, _end)
    task = Task.model_validate_json(sys.stdin.buffer.read())
    sys.stdout.write(measure(task).model_dump_json() + "\n")
    return 0


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)  # what was written is deleted on the way


def measure(task: Task) -> Measured:
    """Mount, work, unmount."""
    changes = {
        "mountpoint": task.directory,
        "read_only": not task.write,
        "log_directory": None,
        "no_log": False,
        "allow_other": False,
    }
    spec = task.spec.model_copy(update=changes)
    with tempfile.TemporaryFile() as log:
        engine = subprocess.Popen(
            [*PYTHON, "-m", "engine", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        found: dict[str, Any] = {}
        try:
            if not _mounted(engine, spec):
                return Measured(error=_last(log, spec) or "the engine did not mount in time")
            found = _work(task, Path(task.directory))
        finally:
            engine.terminate()
            try:
                engine.wait(_END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                engine.kill()
        return Measured(requests=_requests(log, spec), **found)


def _mounted(engine: subprocess.Popen[bytes], spec: MountSpec) -> bool:
    assert engine.stdin is not None
    assert engine.stdout is not None
    engine.stdin.write(spec.model_dump_json(by_alias=True).encode())
    engine.stdin.close()
    # It prints one whole line, or ends.
    ready, _, _ = select.select([engine.stdout], [], [], _MOUNTED_SECONDS_MAX)
    return bool(ready) and engine.stdout.readline().strip() == b"mounted"


def _last(log: IO[bytes], spec: MountSpec) -> str:
    """The last line of an engine's log, without the level and the mount's name in front (engine/log.py)."""
    log.seek(0)
    return log.read().decode(errors="replace").strip().rpartition("\n")[2].partition(f" {spec.name}: ")[2]


def _requests(log: IO[bytes], spec: MountSpec) -> dict[str, int]:
    """Of the counters that an engine logs at its end."""
    try:
        counters = json.loads(_last(log, spec))
    except ValueError:
        return {}
    return {str(name): int(count) for name, count in counters.get("s3_requests", {}).items()}


def _work(task: Task, root: Path) -> dict[str, Any]:
    share = task.seconds / (6 if task.write else 4)
    began = time.monotonic()
    sizes = dict(_files(root, began + share))
    found: dict[str, Any] = {"listed": len(sizes)}
    if sizes:
        found["list_names_per_second"] = len(sizes) / (time.monotonic() - began)
    by_size = sorted(sizes, key=lambda path: sizes[path])
    some = [path for path in by_size if sizes[path]][:: max(1, len(by_size) // FIRST_BYTES_MAX)][:FIRST_BYTES_MAX]
    first = list(_each(some, share, _first_byte))
    found["first_byte_ms"] = statistics.median(first) * 1000 if first else None
    seen = set(some)
    small = [path for path in sizes if 0 < sizes[path] <= SMALL_BYTES_MAX and path not in seen]
    read = list(_each(small, share, _whole))
    found["small_files_per_second"] = len(read) / sum(read) if read else None
    if by_size and sizes[by_size[-1]] >= MiB:
        found["read_mb_per_second"] = _sequential(by_size[-1], share)
    if task.write:
        found |= _writing(root, task.size_mib, share)
    return found


def _files(root: Path, until: float) -> Iterator[tuple[Path, int]]:
    """Files and their sizes, breadth first, until there are enough or it is time."""
    waiting, count = [root], 0
    while waiting:
        with os.scandir(waiting.pop(0)) as entries:
            for entry in entries:
                if count >= FILES_MAX or time.monotonic() > until:
                    return
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                count += 1
                yield Path(entry.path), entry.stat(follow_symlinks=False).st_size


def _each(paths: list[Path], seconds: float, act: Callable[[Path], object]) -> Iterator[float]:
    """How long each took. One that can't be read (archived, gone) does not count."""
    until = time.monotonic() + seconds
    for path in paths:
        began = time.monotonic()
        if began > until:
            return
        with contextlib.suppress(OSError):
            act(path)
            yield time.monotonic() - began


def _first_byte(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.read(file, 1)
    finally:
        os.close(file)


def _whole(path: Path) -> None:
    path.read_bytes()


def _sequential(path: Path, seconds: float) -> float | None:
    began, count = time.monotonic(), 0
    try:
        with path.open("rb", buffering=0) as file:
            while (chunk := file.read(_CHUNK_BYTES)) and time.monotonic() < began + seconds:
                count += len(chunk)
    except OSError:
        return None
    return count / 1e6 / (time.monotonic() - began)


def _writing(root: Path, size_mib: int, seconds: float) -> dict[str, Any]:
    """Below a directory that nobody has; all of it is deleted, whatever happens."""
    place = root / f".mountctl-bench-{uuid.uuid4().hex}"
    made = [place / "large", *(place / f"small-{number}" for number in range(WRITTEN_FILES))]
    found: dict[str, Any] = {}
    try:
        place.mkdir()
        began, until = time.monotonic(), time.monotonic() + seconds
        count, block = 0, os.urandom(_CHUNK_BYTES)
        with made[0].open("wb", buffering=0) as file:
            while count < size_mib and time.monotonic() < until:
                file.write(block)
                count += 1
        found["write_mb_per_second"] = count * MiB / 1e6 / (time.monotonic() - began)
        each = list(_each(made[1:], seconds, lambda path: path.write_bytes(block[: 4 * KiB])))
        found["small_writes_per_second"] = len(each) / sum(each) if each else None
    except OSError as error:
        found["error"] = f"writing failed: {error.strerror}"
    finally:
        left = [path.name for path in made if not _deleted(path)]
        with contextlib.suppress(OSError):
            place.rmdir()
    return found | ({"left": f"{place.name}/: {', '.join(left)}"} if left else {})


def _deleted(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
