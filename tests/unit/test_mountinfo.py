"""The kernel's list of mounts: its lines, what hides what, and when it is read again."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mountctl.supervisor import mount_api, mountinfo


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """Where something is mounted, with a directory above it that nothing else is in."""
    path = tmp_path / "above" / "mnt"
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "something", path], check=True)
    yield path
    for entry in mountinfo.entries():
        if Path(entry.mountpoint).is_relative_to(tmp_path):
            mount_api.umount(entry.mountpoint, lazily=True)


def test_mountinfo_with_optional_fields_and_escapes_is_read() -> None:
    text = (
        "42 27 0:39 / /mnt/a\\040b rw,nosuid shared:5 master:1 - fuse.mountctl s3://abc/x\\134y/ rw,user_id=0\n"
        "43 42 8:1 /sub /mnt/\\303\\251 rw - ext4 /dev/sda1 rw\n"
    )

    first, second = mountinfo.parse(text)

    assert (first.mount_id, first.minor, first.mountpoint) == (42, 39, "/mnt/a b")
    assert (first.fstype, first.source) == ("fuse.mountctl", "s3://abc/x\\y/")
    assert (second.fstype, second.source) == ("ext4", "/dev/sda1")


def test_a_line_separator_of_unicode_in_anybodys_path_ends_no_line_of_mountinfo() -> None:
    text = "42 27 0:39 / /mnt/a\x0c\u2028b rw - fuse.x s3://abc/ rw\n43 27 0:40 / /mnt/c rw - fuse.x s3://d/ rw\n"

    assert [entry.mountpoint for entry in mountinfo.parse(text)] == ["/mnt/a\x0c\u2028b", "/mnt/c"]


# In a namespace of its own: nobody else on this host is to meet such a path.
_WHERE_IT_IS = """
import json, subprocess, sys
from engine.fuse import session
from mountctl.supervisor import holder, mountinfo
subprocess.run(["mount", "-t", "tmpfs", "something", sys.argv[1]], check=True)
entry = mountinfo.at(sys.argv[1])
places = [entry.mountpoint, holder._place(entry.mount_id, entry.minor)]
print(json.dumps([places, session.mount_device(sys.argv[1]) == f"0:{entry.minor}"]))
"""


@pytest.mark.parametrize("end", ["\r", "\x0c", "\u2028"])
def test_what_ends_lines_elsewhere_ends_none_of_the_kernels_list_for_whoever_reads_it(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"a{end}b"
    path.mkdir()

    reading = ["unshare", "--mount", sys.executable, "-c", _WHERE_IT_IS, path]
    told = json.loads(subprocess.run(reading, check=True, stdout=subprocess.PIPE).stdout)

    assert told == [[str(path)] * 2, True]


_TABLE = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:30 / /mnt rw - tmpfs older rw
3 2 0:31 / /mnt rw - tmpfs newer rw
4 3 0:32 / /mnt/x rw - fuse.mountctl s3://a/ rw
5 4 0:33 / /mnt/x/below rw - tmpfs below rw
"""


@pytest.mark.parametrize(
    ("line", "over"),
    [
        ("", None),
        ("6 3 0:34 / /mnt/xy rw - tmpfs beside rw", None),
        ("6 4 0:34 / /mnt/x rw - tmpfs on-it rw", "on-it"),
        ("6 3 0:34 / /mnt rw - tmpfs above rw\n7 6 0:35 / /mnt/x rw - tmpfs elsewhere rw", "above"),
        ("6 1 0:34 / / rw - tmpfs root rw", "root"),
    ],
)
def test_what_hides_a_mount_is_on_it_or_on_a_directory_above_it(line: str, over: str | None) -> None:
    table = mountinfo.Table(list(mountinfo.parse(_TABLE + line)))
    mount = table.known(4, 32, "fuse.mountctl")

    assert mount is not None
    found = table.covering(mount)
    assert (None if found is None else found.source) == over


def test_the_list_of_mounts_is_read_again_when_it_has_changed_and_only_then(mounted: Path) -> None:
    lately, clock = mountinfo._Lately(), itertools.count(step=10)
    found = lately.table(next(clock))
    assert found.at(str(mounted)) is not None
    while (now := lately.table(next(clock))) is not found:  # others mount something on this host meanwhile
        found = now

    mount_api.umount(str(mounted), lazily=True)

    assert lately.table(next(clock)).at(str(mounted)) is None


def test_the_list_of_mounts_has_the_new_name_of_a_directory_above_one_of_which_the_kernel_tells_nothing(
    mounted: Path,
) -> None:
    lately, clock = mountinfo._Lately(), itertools.count(step=10)
    found = lately.table(next(clock))
    while (now := lately.table(next(clock))) is not found:  # others mount something on this host meanwhile
        found = now

    renamed = mounted.parent.rename(mounted.parent.with_name("renamed"))

    table = lately.table(next(clock))
    assert table.at(str(mounted)) is None
    assert table.at(str(renamed / mounted.name)) is not None
