"""Many names: what walking them costs in requests and memory. The bucket is a rule (synthetic.py), not a server."""

import math
import os
import subprocess
import time
from pathlib import Path

import pytest

from engine.namespace.crowd import INODE_BYTES, NAMES_BYTES_MAX
from engine.namespace.lifetimes import DIRECTORY_SECONDS_MINIMAL
from tests.conformance.observed import Observed, ObservedShape
from tests.conformance.sharing import eventually
from tests.conformance.synthetic import content

# A walk of a small bucket: what a Python process needs, whatever it serves.
BASE_FILES = 1000

# What the allocator takes beyond what is counted (crowd.py), as a share of it: it keeps half-filled pages, and tables
# are copied when they grow.
ALLOCATOR_SHARE = 0.25

# What an engine may have beyond `memory-target`, in KiB: names, and itself.
BEYOND_TARGET_KIB = 64 << 10

# Room for some ten thousand names.
FEW_NAMES_BYTES = 4 << 20


def _run(*command: object) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def _requests(mounted: Observed) -> dict[str, int]:
    found: dict[str, int] = mounted.counters()["s3_requests"]
    return found


def _walk_and_count(mounted: Observed, *command: object) -> tuple[str, dict[str, int]]:
    before = _requests(mounted)
    said = _run(*command)
    after = _requests(mounted)
    return said, {name: after[name] - before.get(name, 0) for name in after}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "directories"),
    [
        ("find DIRECTORY -type f", 1),
        ("ls -lR DIRECTORY", 1),
        ("du -a DIRECTORY", 1),
        ("find DIRECTORY -type f", 1000),
        ("ls -lR DIRECTORY", 1000),
        ("du -a DIRECTORY", 1000),
    ],
)
def test_walks_of_100_000_names_ask_for_no_file_by_itself(command: str, directories: int) -> None:
    """S13: of one directory and of a tree, with the shortest lifetimes."""
    files = 100_000 // directories
    lists = 1 + directories * (2 + files // 1000)  # the root's, and for each directory its lookup and its pages
    with ObservedShape(directories, files) as mounted:
        words = [str(mounted.path) if word == "DIRECTORY" else word for word in command.split()]
        began = time.monotonic()
        said, counted = _walk_and_count(mounted, *words)
        # Programs name each file by its path, and the directory that they are in is believed for a second (S30).
        again = math.ceil((time.monotonic() - began) / DIRECTORY_SECONDS_MINIMAL)
    assert len(said.splitlines()) >= 100_000
    assert counted["ListObjectsV2"] <= lists + directories + again, "a directory may be looked up twice"
    assert counted.get("HeadObject", 0) <= 2 * directories + again, "called off, of directories"


@pytest.mark.parametrize(
    ("command", "for_itself"), [("du -a .", 3), ("ls -lU .", 1), ("ls -l .", 1), ("find . -type f -size +0 -ls", 3)]
)
def test_a_walk_of_ten_thousand_names_asks_for_no_file_by_itself(command: str, for_itself: int) -> None:
    """S13, S52: one LIST for each thousand, with the shortest lifetimes and on a machine however busy.

    `for_itself`: how often the program asks for the attributes of the directory, which are believed for a second; then
    the kernel asks again.
    """
    with ObservedShape(1, 10_000) as mounted:
        before = Path.cwd()
        os.chdir(mounted.path / "d00000")
        try:
            began = time.monotonic()
            said, counted = _walk_and_count(mounted, *command.split())
            again = math.floor((time.monotonic() - began) / DIRECTORY_SECONDS_MINIMAL)
        finally:
            os.chdir(before)
        assert len(said.splitlines()) >= 10_000
    assert counted["ListObjectsV2"] <= 10 + for_itself + again
    assert counted.get("HeadObject", 0) == 0


def test_names_that_the_kernel_drops_are_forgotten() -> None:
    """S49: all but the mount's root."""
    with ObservedShape(2, BASE_FILES) as mounted:
        assert len(os.listdir(mounted.path / "d00001")) == BASE_FILES
        assert mounted.counters()["inodes"] >= BASE_FILES
        _drop(mounted.path)
        eventually(lambda: mounted.counters()["inodes"] == 1)
        assert (mounted.path / "d00001/f000007").stat().st_size


@pytest.mark.parametrize(
    ("names_bytes_max", "directories", "memory_target"),
    [
        (FEW_NAMES_BYTES, 5, 128),
        pytest.param(NAMES_BYTES_MAX, 100, 128, marks=pytest.mark.slow),
        pytest.param(NAMES_BYTES_MAX, 100, 512, marks=pytest.mark.slow),
    ],
)
def test_a_walk_of_more_names_than_fit_takes_no_more_memory(
    names_bytes_max: int, directories: int, memory_target: int
) -> None:
    """S50: a million names, or 50,000 in a twentieth of the room."""
    with ObservedShape(
        directories, 10_000, names_bytes_max=names_bytes_max, memory_target=memory_target, metadata_ttl="indefinite"
    ) as mounted:
        os.listdir(mounted.path / "d00000")
        base = mounted.resident_kib()
        assert len(_run("find", mounted.path, "-type", "f").splitlines()) == directories * 10_000
        full, held = mounted.resident_kib(most=True), mounted.counters()["inodes"]
        _drop(mounted.path)
        eventually(lambda: mounted.counters()["inodes"] == 1)
        left = mounted.resident_kib()
    told = f"KiB: {base} before, {full} with {held} inodes, {left} when they were forgotten"
    assert names_bytes_max / 2 < held * INODE_BYTES < names_bytes_max, told
    most = base + names_bytes_max * (1 + ALLOCATOR_SHARE) / 1024
    assert full <= most, told
    assert left <= most, told
    assert full <= memory_target * 1024 + BEYOND_TARGET_KIB, told
    print(told)


@pytest.mark.parametrize("ttl", ["minimal", "indefinite"])
def test_a_program_comes_back_to_a_name_that_was_forgotten(ttl: str) -> None:
    """S51: also where the kernel believes in what it knew; and what is open, or a directory, was not forgotten."""
    with ObservedShape(3, 10_000, names_bytes_max=FEW_NAMES_BYTES, metadata_ttl=ttl) as mounted:
        directory, first, second = (mounted.path / "d00000" / name for name in (".", "f000000", "f000001"))
        number = directory.stat().st_ino
        shell = subprocess.Popen(
            ["sh", "-c", "read go; exec stat -c %s f000001"],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with first.open("rb", buffering=0) as held:
            numbers = os.fstat(held.fileno()).st_ino, second.stat().st_ino
            _run("find", mounted.path, "-type", "f")
            assert mounted.counters()["inodes"] < 20_000
            assert os.fstat(held.fileno()).st_ino == first.stat().st_ino == numbers[0]
            assert held.read(100) == content("d00000/f000000", 0, 100)
        with second.open("rb", buffering=0) as again:
            assert again.read(100) == content("d00000/f000001", 0, 100)
            assert os.fstat(again.fileno()).st_ino != numbers[1], "it was not forgotten: nothing is tested"
        assert directory.stat().st_ino == number
        said, _ = shell.communicate(b"go\n")
        assert int(said) == second.stat().st_size


def _drop(mountpoint: Path) -> None:
    """Have the kernel drop the names of one mount that nobody uses: a remount shrinks its cache, and no other's."""
    _run("mount", "--internal-only", "-o", "remount", mountpoint)
