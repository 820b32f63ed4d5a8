"""Whether a file's object can be read: one in an archive can't without a restored copy. Called by filesystem.py."""

import shlex

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
        command = f"mountctl restore {_quoted(path)}"
        raise Archived(f"{info.key!r} is archived ({info.storage_class}): `{command}` has it restored")
    return info


def _quoted(path: str) -> str:
    """For a shell, on one line: whoever reads the log copies it from there. `$'...'` is bash's, ksh's and zsh's."""
    if path.isprintable():
        return f"'{path}'" if "'" not in path else shlex.quote(path)
    return "$'" + "".join(_escaped(character) for character in path) + "'"


def _escaped(character: str) -> str:
    if character.isprintable() and character not in "\\'":
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
