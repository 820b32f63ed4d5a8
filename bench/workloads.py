"""What programs do with a mount: read, list, write, in ways that are measured. `python -m bench.workloads`.

A process of its own that bench/run.py starts: one that hangs can be ended. It gets a workload as JSON on stdin, and
tells on stdout how much it did in how many seconds. Readers are processes that begin at once; they stop after a time,
so a slow peer costs no more of it than a fast one, and is known by its rate.
"""

import json
import mmap
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench import CHECKOUT

MIB: Final = 1 << 20

# As `cp` and `dd bs=1M` read and write.
CHUNK_BYTES: Final = MIB

# A file that nobody publishes is waited for so long.
PUBLISH_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.001

# Beyond what a workload has, for what it does not count: listing first, and a peer's worst moments.
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Done:
    """What a workload did.

    Args:
        units: bytes, reads, files or entries.
        seconds: from when the first reader began until the last one ended.
        value: units a second, or what else the workload is for.
    """

    units: float
    seconds: float
    value: float


Task = Callable[[float], float]  # until a time, of time.monotonic(); returns units


def side_by_side(tasks: Sequence[Task], limit: float) -> Done:
    """Carry out each task in a process of its own, all begun at once; together."""
    gate, opened = os.pipe()
    pipes = []
    for task in tasks:
        result, answer = os.pipe()
        if (child := os.fork()) == 0:
            code = 1
            try:
                os.close(opened)
                os.read(gate, 1)  # until the parent opens it
                units = task(time.monotonic() + limit)
                os.write(answer, json.dumps([units, time.monotonic()]).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(answer)
        pipes.append((child, result))
    time.sleep(0.01)  # all have come to the gate
    began = time.monotonic()
    os.close(opened)
    ended, total = began, 0.0
    for child, result in pipes:
        told = os.read(result, 1000)
        os.waitpid(child, 0)
        if not told:
            raise RuntimeError("a reader failed")
        units, at = json.loads(told)
        ended, total = max(ended, at), total + units
    return Done(total, ended - began, total / (ended - began))


def read_whole(path: str, *, direct: bool = False, keep: bool = False) -> Task:
    """Read a file from start to end, past the page cache or not; what is kept there is let go unless `keep`."""

    def task(until: float) -> float:
        handle = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
        buffer = mmap.mmap(-1, CHUNK_BYTES)  # on a page's boundary, as O_DIRECT wants it
        total = 0
        while (count := os.readv(handle, [buffer])) and time.monotonic() < until:
            total += count
        if count == 0 and total != os.fstat(handle).st_size:
            raise RuntimeError(f"{path}: {total} bytes only")
        if not keep:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
        return total

    return task


def read_at(path: str, offsets: Sequence[int], size: int) -> Task:
    """Read pieces of a file; a unit is a piece."""

    def task(until: float) -> float:
        handle = os.open(path, os.O_RDONLY)
        done = 0
        for offset in offsets:
            if len(os.pread(handle, size, offset)) != size:
                raise RuntimeError(f"{path}: a short read at {offset}")
            done += 1
            if time.monotonic() > until:
                break
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
        return done

    return task


def read_each(paths: Sequence[str]) -> Task:
    """Read small files, one after the other; a unit is a file."""

    def task(until: float) -> float:
        done = 0
        for path in paths:
            handle = os.open(path, os.O_RDONLY)
            while os.read(handle, CHUNK_BYTES):
                pass
            os.close(handle)
            done += 1
            if time.monotonic() > until:
                break
        return done

    return task


def write_whole(path: str, size: int) -> Task:
    """Write a file; closing it publishes it. A unit is a byte."""
    buffer = mmap.mmap(-1, CHUNK_BYTES)  # on a page's boundary, as those of `cp` and `dd` are
    buffer[:] = content_for(path)
    content = memoryview(buffer)

    def task(until: float) -> float:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for offset in range(0, size, CHUNK_BYTES):
            os.write(handle, content[: min(CHUNK_BYTES, size - offset)])
        os.close(handle)
        return size

    return task


def content_for(path: str) -> bytes:
    """What `write_whole` repeats in a file of this name."""
    return random.Random(Path(path).name).randbytes(CHUNK_BYTES)


def create_each(paths: Sequence[str], made: list[str]) -> Task:
    """Write small files of one byte, one after the other; a unit is a file. Notes in `made` which."""

    def task(until: float) -> float:
        for path in paths:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(handle, b"x")
            os.close(handle)
            made.append(path)
            if time.monotonic() > until:
                break
        return len(made)

    return task


def alone(task: Task, limit: float) -> Done:
    """Carry out a task here."""
    began = time.monotonic()
    units = task(began + limit)
    seconds = time.monotonic() - began
    return Done(units, seconds, units / seconds)


def sequential(base: str, told: dict[str, Any]) -> Done:
    """Read large files, one a reader. The value is bytes a second."""
    paths = [f"{base}/{key}" for key in told["keys"]]
    direct, keep = told.get("direct", False), told.get("keep", False)
    return side_by_side([read_whole(path, direct=direct, keep=keep) for path in paths], told["limit"])


def pieces(base: str, told: dict[str, Any]) -> Done:
    """Read pieces of one file: at random, or so many bytes apart. The value is pieces a second."""
    path, size = f"{base}/{told['key']}", told["size"]
    if "apart" in told:
        offsets = list(range(0, told["span"] - size + 1, told["apart"]))
    else:
        places = random.Random(told["seed"])
        offsets = [places.randrange((told["span"] - size) // size) * size for _ in range(told["count"])]
    os.stat(path)
    return alone(read_at(path, offsets, size), told["limit"])


def small_files(base: str, told: dict[str, Any]) -> Done:
    """Right after `ls`, read all files of a directory; readers take turns. The value is files a second."""
    directory = f"{base}/{told['directory']}"
    paths = sorted(os.path.join(directory, name) for name in os.listdir(directory))
    readers = told["readers"]
    if readers == 1:
        return alone(read_each(paths), told["limit"])
    return side_by_side([read_each(paths[first::readers]) for first in range(readers)], told["limit"])


def long_list(base: str, told: dict[str, Any]) -> Done:
    """What `ls -l` asks for: names, and the attributes of each as it comes. The value is entries a second.

    When time is up, the rest of the `entries` is reckoned to go on as it went since the first one.
    """
    began = first = time.monotonic()
    done = 0
    with os.scandir(f"{base}/{told['directory']}") as entries:
        for entry in entries:
            if not done:
                first = time.monotonic()
            entry.stat(follow_symlinks=False)
            done += 1
            if time.monotonic() > first + told["limit"]:
                break
    ended = time.monotonic()
    whole = first - began + (ended - first) * told["entries"] / done
    return Done(done, ended - began, told["entries"] / whole)


def find(base: str, told: dict[str, Any]) -> Done:
    """What `find` asks for: the names in all directories. The value is files a second."""

    def walk(directory: str, until: float) -> float:
        files, below = 0.0, []
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                else:
                    files += 1
        for each in below:
            if time.monotonic() > until:
                break
            files += walk(each, until)
        return files

    return alone(lambda until: walk(f"{base}/{told['directory']}", until), told["limit"])


def first_byte(base: str, told: dict[str, Any]) -> Done:
    """Open a file and read its first byte, file after file. The value is the median, in seconds."""
    taken = []
    for key in told["keys"]:
        began = time.monotonic()
        handle = os.open(f"{base}/{key}", os.O_RDONLY)
        os.pread(handle, 1, 0)
        taken.append(time.monotonic() - began)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    return Done(len(taken), sum(taken), statistics.median(taken))


def write(base: str, told: dict[str, Any]) -> Done:
    """Write large files, one a writer, until all are published. The value is bytes a second."""
    tasks = [write_whole(f"{base}/{told['directory']}/{name}", told["size"]) for name in told["names"]]
    began = time.monotonic()
    done = side_by_side(tasks, told["limit"])
    return _published(done, began, told, told["names"], told["size"])


def create(base: str, told: dict[str, Any]) -> Done:
    """Write files of one byte, one after the other, until all are published. The value is files a second."""
    made: list[str] = []
    paths = [f"{base}/{told['directory']}/{name}" for name in told["names"]]
    began = time.monotonic()
    done = alone(create_each(paths, made), told["limit"])
    return _published(done, began, told, [os.path.basename(path) for path in made], 1)


def _published(done: Done, began: float, told: dict[str, Any], names: list[str], size: int) -> Done:
    """Wait until the S3 has all files in full; `published` is where it keeps them. Who publishes at close is there."""
    for name in names:
        path = Path(told["published"], name)
        while not (path.exists() and path.stat().st_size == size):
            if time.monotonic() > began + told["limit"] + PUBLISH_SECONDS_MAX:
                raise RuntimeError(f"{name} is not published")
            time.sleep(POLL_SECONDS)
    waited = time.monotonic() - began - done.seconds
    seconds = done.seconds + (waited if waited > POLL_SECONDS * 10 else 0)
    return Done(done.units, seconds, done.units / seconds)


KNOWN: Final[dict[str, Callable[[str, dict[str, Any]], Done]]] = {
    each.__name__: each for each in (sequential, pieces, small_files, long_list, find, first_byte, write, create)
}


class Failed(Exception):
    """A workload did not end well; the text says why."""


def carry_out(workload: str, base: Path, told: Mapping[str, Any], limit: float) -> Done:
    """Run a workload on a directory in a process of its own, for `limit` seconds. Raises Failed, if it hangs too."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.workloads"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    asked = json.dumps({**told, "workload": workload, "base": str(base), "limit": limit})
    try:
        output, errors = process.communicate(asked, limit + PATIENCE_SECONDS + PUBLISH_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failed("it hung") from None
    if process.returncode != 0:
        raise Failed(errors.strip().rpartition("\n")[2])
    return Done(**json.loads(output))


def main() -> None:
    """Carry out what stdin says."""
    told = json.load(sys.stdin)
    json.dump(asdict(KNOWN[told["workload"]](told["base"], told)), sys.stdout)


if __name__ == "__main__":
    main()
