"""What this kernel can do of what we would like, so that mounts do without where it can't. Called by session.py.

MOUNTCTL_FORCE_FALLBACK, a list of `no-resend`, `no-beneath` and `no-setattr` with commas, takes abilities away. It is
for tests of what is done on older kernels: nobody needs it elsewhere.
"""

import functools
import os
from typing import Final

from mountctl.supervisor import mount_api

FORCE_VARIABLE: Final = "MOUNTCTL_FORCE_FALLBACK"
_NO_RESEND: Final = "no-resend"
_NO_BENEATH: Final = "no-beneath"
_NO_SETATTR: Final = "no-setattr"


@functools.cache
def beneath() -> bool:
    """A mount can be put beneath another one (MOVE_MOUNT_BENEATH, Linux 6.5), so that a path is never without."""
    return _NO_BENEATH not in _taken_away() and mount_api.knows_beneath()


def may_resend() -> bool:
    """Nobody forbids to have requests sent again. Whether the kernel can is in each session's INIT request."""
    return _NO_RESEND not in _taken_away()


def may_set_attributes() -> bool:
    """Nobody forbids to change a mount that is attached nowhere (mount_setattr, Linux 5.12)."""
    return _NO_SETATTR not in _taken_away()


def _taken_away() -> list[str]:
    return os.environ.get(FORCE_VARIABLE, "").split(",")
