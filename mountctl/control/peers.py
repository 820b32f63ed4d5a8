"""Who may use the control socket, by the kernel's word for who has connected it. Used by server.py."""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from mountctl.errors import ControlSocketUnusable

# struct ucred of unix(7): pid, uid, gid
_UCRED: Final = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, by the kernel's word at connect()."""

    pid: int
    uid: int
    gid: int


def may_enter(peer: Peer, own_uid: int, groups: Sequence[int], gid: int | None) -> bool:
    """Root, the supervisor's own user, and members of its control group (`gid`; None: there is no such group)."""
    return peer.uid in (0, own_uid) or (gid is not None and gid in (peer.gid, *groups))


def peer_of(stream: trio.SocketStream) -> Peer:
    """Who has connected this Unix socket."""
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(raw))


def groups_of(peer: Peer) -> list[int]:
    """All groups of the peer's user. Blocks: a directory server may be asked."""
    try:
        return os.getgrouplist(pwd.getpwuid(peer.uid).pw_name, peer.gid)
    except KeyError:
        return []  # a user without a name is in no group


def who_may(uid: int, gid: int | None) -> str:
    """What a peer is told who may not come in."""
    group = f" and members of group {gid}" if gid is not None else ""
    return f"user {uid} may not use the control socket: only root, the supervisor's user{group} may"


def group_id(name: str) -> int:
    """Raises ControlSocketUnusable if there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ControlSocketUnusable(f"there is no group {name!r} (control-group)") from error
