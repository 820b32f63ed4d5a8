"""Whether a file's object can be read: one in an archive can't without a restored copy. Called by filesystem.py."""

from engine.errors import Archived
from engine.namespace.inode import Inode
from engine.s3.interface import ObjectInfo
from engine.spec import MountSpec


def check_readable(inode: Inode, spec: MountSpec) -> ObjectInfo:
    """What is known of the object. Raises Archived, with the command that helps: the log has it."""
    info = inode.info
    assert info is not None, "an inode never changes its kind"
    if info.archived:
        path = f"{spec.mountpoint}/{info.key.removeprefix(spec.prefix)}"
        raise Archived(f"{info.key!r} is archived ({info.storage_class}): `mountctl restore {path!r}` has it restored")
    return info
