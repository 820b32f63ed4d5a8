"""Many names: what walking them costs in requests and memory. The bucket is a rule (synthetic.py), not a server."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conformance.observed import Observed, ObservedShape
from tests.conformance.sharing import eventually

# A walk of a small bucket: what a Python process needs, whatever it serves.
BASE_FILES = 1000

# Memory that a name may keep when the kernel has dropped it, in bytes: what the allocator does not give back.
LEFT_BYTES_A_NAME_MAX = 120


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
@pytest.mark.parametrize(("directories", "files"), [(1, 100_000), (1000, 100)])
def test_walks_of_100_000_names_ask_for_no_file_by_itself(directories: int, files: int) -> None:
    """S13: `find`, `du` and `ls -lR`, of one directory and of a tree, with the shortest lifetimes."""
    lists = 2 + directories * (1 + -(-files // 1000))  # the root, and for each directory its lookup and its pages
    with ObservedShape(directories, files) as mounted:
        for command, expected in (
            (("find", mounted.path, "-type", "f"), directories * files),
            (("du", "-a", mounted.path), directories * files + directories + 1),
            (("ls", "-lR", mounted.path), None),
        ):
            said, counted = _walk_and_count(mounted, *command)
            if expected is not None:
                assert len(said.splitlines()) == expected
            assert counted["ListObjectsV2"] <= lists + directories
            assert counted.get("HeadObject", 0) <= 2 * directories, "called off, of directories"


def test_a_walk_of_ten_thousand_names_asks_for_no_file_by_itself() -> None:
    """S13: the same, smaller, in every run."""
    with ObservedShape(1, 10_000) as mounted:
        said, counted = _walk_and_count(mounted, "ls", "-l", mounted.path / "d00000")
        assert len(said.splitlines()) == 1 + 10_000
    assert counted["ListObjectsV2"] == 1 + 10
    assert counted.get("HeadObject", 0) <= 1


def test_names_that_the_kernel_drops_are_forgotten() -> None:
    """S49: all but the mount's root."""
    with ObservedShape(2, BASE_FILES) as mounted:
        assert len(os.listdir(mounted.path / "d00001")) == BASE_FILES
        assert mounted.counters()["inodes"] >= BASE_FILES
        _drop(mounted.path)
        eventually(lambda: mounted.counters()["inodes"] == 1)
        assert (mounted.path / "d00001/f000007").stat().st_size


@pytest.mark.slow
def test_memory_of_a_million_names_is_bounded_and_comes_back() -> None:
    """S49: measured while the kernel holds them all, and when it has dropped them."""
    with ObservedShape(100, 10_000) as mounted:
        os.listdir(mounted.path / "d00000")
        base = mounted.resident_kib()
        assert len(_run("find", mounted.path, "-type", "f").splitlines()) == 1_000_000
        full, held = mounted.resident_kib(), mounted.counters()["inodes"]
        _drop(mounted.path)
        eventually(lambda: mounted.counters()["inodes"] == 1)
        left = mounted.resident_kib()
    told = f"KiB: {base} before, {full} with {held} inodes, {left} when they were forgotten"
    assert (full - base) * 1024 <= 640 * max(held, 1), told
    assert (left - base) * 1024 <= LEFT_BYTES_A_NAME_MAX * 1_000_000, told
    print(told)


def _drop(mountpoint: Path) -> None:
    """Have the kernel drop the names of one mount that nobody uses: a remount shrinks its cache, and no other's."""
    _run("mount", "--internal-only", "-o", "remount", mountpoint)
