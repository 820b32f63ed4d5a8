"""Programs that use a mount while its engines come and go, for tests: readers that check every byte, and writers."""

import contextlib
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.servers import MotoServer

MiB: Final = 1 << 20
NAMES: Final = 10
# Larger than a read of the kernel's, so that one file takes several requests.
BIG: Final = bytes(range(256)) * 12 * 1024  # 3 MiB

# How programs begin: `call` makes a call again that ends with EINTR, which is what kernels without resend give, and
# `longest` is how long one took at most, in seconds.
CALL: Final = """
import time
longest = 0.0

def call(function, *arguments):
    global longest
    began = time.monotonic()
    while True:
        try:
            return function(*arguments)
        except InterruptedError:
            continue
        finally:
            longest = max(longest, time.monotonic() - began)
"""

# Until its stdin is closed: reads at random in an open file, whose pages it drops now and then, opens and reads small
# files, lists, stats. Tells what was wrong, the longest that one call took, and how many rounds there were. Where a
# later page of a read was interrupted, the read is short, which is an error to an `exact` reader.
_READER: Final = (
    CALL
    + """
import contextlib, os, pathlib, random, select, sys
root, names, seed, exact = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "exact"
content = bytes(range(256)) * 12 * 1024
chance = random.Random(seed)

def whole(path):
    handle = call(os.open, path, os.O_RDONLY)
    try:
        return call(os.pread, handle, 100, 0)
    finally:
        with contextlib.suppress(InterruptedError):  # Linux has closed it all the same
            os.close(handle)

big = os.open(root / "big", os.O_RDONLY)
print("begun", flush=True)
rounds = 0
while not rounds or not select.select([sys.stdin], [], [], 0)[0]:
    try:
        if rounds % 5 == 0:
            os.posix_fadvise(big, 0, 0, os.POSIX_FADV_DONTNEED)
        for _ in range(5):
            at = chance.randrange(len(content) - 4096)
            found = call(os.pread, big, 4096, at)
            while not exact and 0 < len(found) < 4096:
                found += call(os.pread, big, 4096 - len(found), at + len(found))
            if found != content[at : at + 4096]:
                size = os.fstat(big).st_size
                print(f"wrong bytes: round {rounds}, at {at}, {len(found)}, {found[:8]}, {size}", flush=True)
        number = chance.randrange(names)
        found = whole(root / "d" / f"f{number}")
        if found != f"content {number}".encode():
            print(f"wrong content: round {rounds}, f{number}: {found}", flush=True)
        listed = sorted(call(os.listdir, root / "d"))
        if listed != sorted(f"f{number}" for number in range(names)):
            print(f"wrong listing: round {rounds}, {listed}", flush=True)
        if call(os.stat, root / "big").st_size != len(content):
            print(f"wrong size: round {rounds}", flush=True)
    except OSError as error:
        print(f"round {rounds}: {error!r}", flush=True)
    rounds += 1
print("rounds", rounds, "longest", round(longest, 3), flush=True)
"""
)


def fill(moto: MotoServer, bucket: str, prefix: str = "") -> None:
    """What readers read."""
    for number in range(NAMES):
        moto.put(bucket, f"{prefix}d/f{number}", f"content {number}".encode())
    moto.put(bucket, f"{prefix}big", BIG)


def filled(moto: MotoServer, *prefixes: str) -> str:
    """A new bucket for readers, with an object `name` below each prefix that tells where it is."""
    bucket = moto.bucket()
    fill(moto, bucket)
    for prefix in prefixes:
        moto.put(bucket, f"{prefix}name", prefix.encode() * MiB)
    return bucket


@contextlib.contextmanager
def reading(mountpoint: Path, programs: int = 2, *, exact: bool = True) -> Iterator[list[float]]:
    """While programs read; at the end none of them has seen anything. Gives the longest call of each, in seconds.

    Args:
        mountpoint: of a bucket that was filled by `fill`.
        programs: how many read.
        exact: a short read is an error, too.
    """
    manner = "exact" if exact else "patient"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", _READER, str(mountpoint), str(NAMES), str(seed), manner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(programs)
    ]
    longest: list[float] = []
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "begun\n"
        yield longest
        told = [reader.communicate(timeout=60)[0] for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()
    for each in told:
        done = re.fullmatch(r"rounds [1-9]\d* longest ([\d.]+)\n", each)
        assert done, each
        longest.append(float(done[1]))


# Writes a file piece by piece, and waits for a word behind each; at the end it tells how close went.
_WRITER: Final = """
import os, random, sys
path, pieces = sys.argv[1], int(sys.argv[2])
data = random.Random(path).randbytes(1 << 20)
out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
for number in range(pieces):
    assert os.write(out, data[number:] + data[:number]) == len(data)
    print(number, os.fstat(out).st_size, flush=True)
    sys.stdin.readline()
os.close(out)
print("closed", flush=True)
"""


class Writer:
    """A program that writes a file, a piece of 1 MiB at a time."""

    def __init__(self, path: Path, pieces: int) -> None:
        self._path, self._pieces = path, pieces
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(pieces)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.written = 0
        self._hear()

    def go_on(self, pieces: int) -> None:
        """Write so many."""
        for _ in range(pieces):
            self._say()
            self._hear()

    def finish(self) -> None:
        """Write the rest, and close."""
        self.go_on(self._pieces - self.written)
        self._say()
        told, errors = self._process.communicate(timeout=60)
        assert (told, errors) == ("closed\n", "")

    @property
    def content(self) -> bytes:
        """What the whole file is to be."""
        data = random.Random(str(self._path)).randbytes(MiB)
        return b"".join(data[number:] + data[:number] for number in range(self._pieces))

    def close(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(self._process.communicate()[1])
        number, size = map(int, line.split())
        self.written = number + 1
        assert size == self.written * MiB, "the size that the writer sees"
