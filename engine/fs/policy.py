"""What an open or a rename may do: their flags against what the mount allows and what the file is.

Used by the file system. Pure.
"""

import os
from enum import Enum, auto

from engine.errors import CrossDevice, EngineError, InvalidArgument, NotPermitted

# A write that returns when it is durable would be a whole upload each.
_SYNCHRONOUS = os.O_SYNC | os.O_DSYNC

# linux/fs.h: flags of renameat2 that say more than "rename".
_RENAME_NOREPLACE = 1


class Access(Enum):
    """What a handle is for. S3 has none for both."""

    READ = auto()
    WRITE = auto()


def writes(flags: int) -> bool:
    """The flags ask for writing or truncating."""
    return flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)


def check_synchronous(flags: int) -> None:
    """Raises InvalidArgument for O_SYNC and O_DSYNC, to be asked of writers."""
    if flags & _SYNCHRONOUS:
        raise InvalidArgument("O_SYNC and O_DSYNC are not possible on S3")


def access(flags: int, *, new: bool, allow_overwrite: bool) -> Access:
    """What a handle is opened for.

    O_RDWR is for writing where there is nothing to read: a file that was just made, or is truncated with leave. Else it
    is for reading, and a write to it fails. Raises NotPermitted for O_TRUNC without leave, InvalidArgument for
    O_TRUNC with O_RDONLY.
    """
    truncates = bool(flags & os.O_TRUNC) and not new
    if truncates and not allow_overwrite:
        raise NotPermitted("the file exists, and only with allow-overwrite files can be replaced")
    mode = flags & os.O_ACCMODE
    if mode == os.O_RDONLY:
        if truncates:
            raise InvalidArgument("O_TRUNC needs O_WRONLY or O_RDWR")
        return Access.READ
    if mode == os.O_RDWR and not new and not truncates:
        return Access.READ
    return Access.WRITE


def check_replace(flags: int, *, allow_overwrite: bool) -> None:
    """Whether a file that exists may be opened for writing. Raises NotPermitted."""
    if not flags & os.O_TRUNC:
        raise NotPermitted("the file exists: it can be replaced as a whole (O_TRUNC), not changed or added to")
    if not allow_overwrite:
        raise NotPermitted("the file exists, and only with allow-overwrite files can be replaced")


def is_direct(flags: int) -> bool:
    """The program wants no page cache (O_DIRECT), and so the newest version."""
    return bool(flags & os.O_DIRECT)


def rename_refused(flags: int, *, allow_delete: bool) -> EngineError:
    """The error for renaming: S3 has no rename. Where files may be deleted, programs are told to copy and delete."""
    if flags & ~_RENAME_NOREPLACE:
        return InvalidArgument("files can't be exchanged")
    if allow_delete:
        return CrossDevice("S3 can't rename: copy, then delete")
    return NotPermitted("S3 can't rename, and only with allow-delete a file can be copied and deleted instead")
