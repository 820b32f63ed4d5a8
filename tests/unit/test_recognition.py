"""Which mount is a session's own, as another namespace of mounts sees it."""

import pytest

from mountctl.supervisor.mountinfo import MountEntry
from mountctl.supervisor.recognition import own

PLACE = "/kubelet/plugins/mnt/data"


def entry(mount_id: int, mountpoint: str = PLACE, parent_id: int = 1) -> MountEntry:
    return MountEntry(mount_id, parent_id, 55, mountpoint, "fuse.mountctl", "s3://b/")


@pytest.mark.parametrize(
    ("entries", "same", "found"),
    [
        ([entry(9)], True, 9),
        ([entry(9, "/moved")], True, 9),
        ([entry(30)], False, 30),
        ([entry(30), entry(31, "/pods/a/mount")], False, 30),
        ([entry(30), entry(9, "/pods/a/mount")], False, 30),
        ([entry(30), entry(9, "/pods/a/mount")], True, 30),  # the namespace's number was given again
        ([entry(9, "/pods/a/mount")], False, None),
        ([entry(31, "/pods/a/mount")], True, None),
        ([entry(30), entry(31, parent_id=30)], False, 31),
        ([], True, None),
    ],
)
def test_it_is_the_one_at_its_place_and_no_other(entries: list[MountEntry], same: bool, found: int | None) -> None:
    assert own(entries, 9, {PLACE, ""}, same=same) == next((e for e in entries if e.mount_id == found), None)
