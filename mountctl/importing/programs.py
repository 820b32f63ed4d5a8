"""The programs whose mounts are known: their names, and their tables of options."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from mountctl.importing import geesefs, goofys, mount_s3, rclone, s3fs
from mountctl.importing.draft import Draft, Rules
from mountctl.importing.found import Program

# What an executable, a type of fstab or the part before a `#` there may be called.
NAMES: Final = MappingProxyType(
    {
        "mount-s3": Program.MOUNT_S3,
        "mountpoint-s3": Program.MOUNT_S3,
        "s3fs": Program.S3FS,
        "goofys": Program.GOOFYS,
        "geesefs": Program.GEESEFS,
        "rclone": Program.RCLONE,
        "rclonefs": Program.RCLONE,
    }
)

TRANSLATE: Final[dict[Program, Callable[[Draft], None]]] = {
    Program.MOUNT_S3: mount_s3.translate,
    Program.S3FS: s3fs.translate,
    Program.GOOFYS: goofys.translate,
    Program.GEESEFS: geesefs.translate,
    Program.RCLONE: rclone.translate,
}

RULES: Final[dict[Program, Rules]] = {
    Program.MOUNT_S3: mount_s3.RULES,
    Program.S3FS: s3fs.RULES,
    Program.GOOFYS: goofys.RULES,
    Program.GEESEFS: geesefs.RULES,
    Program.RCLONE: rclone.rules(),
}


def of_type(fstype: str) -> Program | None:
    """Whose a type of fstab or of a unit is: `fuse.s3fs`, `mount-s3`, `rclone`."""
    return NAMES.get(fstype.removeprefix("fuse."))
