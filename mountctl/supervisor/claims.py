"""Dead mounts that a supervisor keeps in their place: told to other supervisors, which take dead ones away.

A mount that failed stays, and gives errors, until its supervisor has another one for its place. Nothing in the kernel
says that a dead mount is somebody's: so its supervisor listens on an abstract socket of its name, which goes when the
supervisor does. The name is that of the file system (its minor device number), which is the same in all containers.
Called by session.py and old_mounts.py.
"""

import socket
import struct
from typing import Final

# struct ucred of unix(7): pid, uid, gid
_UCRED: Final = struct.Struct("iII")
# Nobody but who asks whether it is there, and hangs up at once.
_BACKLOG: Final = 16


def claim(minor: int) -> socket.socket:
    """Say that a dead mount is kept, until the socket is closed. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.bind(_address(minor))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def is_claimed(minor: int) -> bool:
    """Whether a supervisor that lives keeps it. Only root's word counts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.setblocking(False)
        try:
            sock.connect(_address(minor))
        except BlockingIOError:  # so many ask: it is there
            return True
        except OSError:
            return False
        _pid, uid, _gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return bool(uid == 0)


def _address(minor: int) -> str:
    return f"\0mountctl/dead-file-system/{minor}"
