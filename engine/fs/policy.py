"""What an open may do: flags of open(2) against what the mount allows.

Used by the file system at OPEN. Pure.
"""

import os

from engine.errors import InvalidArgument, ReadOnly

# A write that returns when it is durable would be a whole upload each.
_SYNCHRONOUS = os.O_SYNC | os.O_DSYNC


def writes(flags: int) -> bool:
    """The flags ask for writing or truncating."""
    return flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)


def check_open(flags: int) -> None:
    """Raises InvalidArgument for writers with O_SYNC or O_DSYNC, ReadOnly for all others."""
    if not writes(flags):
        return
    if flags & _SYNCHRONOUS:
        raise InvalidArgument("O_SYNC and O_DSYNC are not possible on S3")
    raise ReadOnly("this mount only reads")


def is_direct(flags: int) -> bool:
    """The program wants no page cache (O_DIRECT), and so the newest version."""
    return bool(flags & os.O_DIRECT)
