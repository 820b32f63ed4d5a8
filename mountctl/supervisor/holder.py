"""The FD holder: a process that keeps file descriptors while there is no supervisor. Where there is no systemd.

Started by held.py as `python holder.py LISTENER PATH`: a listening SOCK_SEQPACKET socket and where it is bound. Serves
root only. Imports nothing of ours and little else, as it may live for months beside each supervisor. Each packet is an
order; descriptors go along by SCM_RIGHTS; what is not understood, a younger supervisor's, is passed by:

    keep NAME    with a descriptor: keep it under this name, MOUNT.KIND
    hold N NAME  the same, answered by `N` (a number of the asker's) when it is kept
    drop NAME    let go of it
    take         answered by a packet `NAME` with its descriptor for each that is kept, then `.`
    leave        who asks is about to end, and has nothing from then on
    ping         answered by `.`
    bye          let go of all and end: the mounts are gone, or are nobody's any more

What it holds for a mount with `auto-unmount` tells it so (record.py): if nobody comes, it unmounts that one.

A descriptor on which the kernel reports an error or a hang-up is dropped: a connection that is unmounted or aborted,
the link of an engine that has ended. Without a supervisor the holder ends when it holds no mount any more.

`python holder.py LISTENER PATH external` is one that somebody else runs (mountctl/csi). Supervisors may stay away as
long as it takes to fetch an image. So it holds what it has however long that is, unmounts nothing, and is there also
when there is nothing to hold. Who runs it closes its standard input to end it: it does when it holds nothing, or
when a supervisor has taken all that it holds and does not leave; until then it would be the last that has it.
"""

import array
import os
import resource
import select
import socket
import stat
import struct
import sys
import time

# A name is a mount's, a dot and a kind: far below.
PACKET_BYTES_MAX = 512
# The kinds of fdstore.py that mean something here.
FUSE = "fuse"
LINK = "link-"
RECORD = "record"
END = b"."
LEAVE = b"leave"
EXTERNAL = "external"
# What a supervisor that takes over may need to read a packet; one that is stuck must not keep us from others.
SEND_SECONDS_MAX = 2.0
# Programs wait for a mount that has no engine. One that nobody has come for in this time is let go of, so that they get
# ENOTCONN: somebody who restarts a supervisor by hand takes less.
ABANDONED_SECONDS = 60.0
# A mount with auto-unmount is taken away after so long; a container's runtime and a person take less to start another
# supervisor.
UNMOUNT_SECONDS = 20.0
# How often to look whether it is time, while there is no supervisor.
LOOK_SECONDS = 5.0

# umount(2); the record's frame: record.py.
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_FRAME = struct.Struct("<II")

UCRED = struct.Struct("iII")  # pid, uid, gid: struct ucred of sys/socket.h


class Holder:
    """What is kept, and who is connected.

    Args:
        listener: where supervisors come.
        external: it is somebody else's than a supervisor's.
    """

    def __init__(self, listener: socket.socket, *, external: bool = False) -> None:
        self._listener = listener
        self._external = external
        self._unwanted = False  # whoever runs it wants it to end
        self._taken = set[int]()  # clients that have all that is kept
        self._leaving = set[int]()  # clients that are about to end
        self._poll = select.epoll()
        self._poll.register(listener.fileno(), select.EPOLLIN)
        if external:
            self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}
        self._kept: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._alone_since: float | None = None  # None: a supervisor is there, or has not come yet

    def run(self) -> None:
        """Serve until nobody needs it."""
        while not self._is_over():
            patience = -1.0 if self._alone_since is None or self._external else LOOK_SECONDS
            for fd, events in self._poll.poll(patience):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._clients:
                    self._obey(self._clients[fd])
                elif self._external and fd == sys.stdin.fileno():
                    self._poll.unregister(fd)
                    self._unwanted = True
                elif fd in self._names and events & (select.EPOLLERR | select.EPOLLHUP):
                    self._lost(self._names[fd])
            if self._alone_since is not None and not self._external:
                self._tidy(time.monotonic() - self._alone_since)

    def _is_over(self) -> bool:
        needed = any(_kind(name) == FUSE for name in self._kept)
        if self._external:
            return self._unwanted and (not needed or bool(self._taken - self._leaving))
        return self._alone_since is not None and not needed

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        _pid, uid, _gid = UCRED.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
        if uid != 0:
            client.close()
            return
        seconds = int(SEND_SECONDS_MAX)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))
        self._clients[client.fileno()] = client
        self._poll.register(client.fileno(), select.EPOLLIN)
        self._alone_since = None

    def _obey(self, client: socket.socket) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(client, PACKET_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC)
            if not packet:
                self._forget(client)
                return
            self._carry_out(client, packet.decode(errors="replace"), list(fds))
        except OSError:  # it is gone, or does not read
            self._forget(client)

    def _carry_out(self, client: socket.socket, order: str, fds: list[int]) -> None:
        what, _, name = order.partition(" ")
        if what == "keep" and fds:
            self._drop(name)
            self._keep(name, fds.pop())
        elif what == "hold":
            number, _, name = name.partition(" ")
            self._drop(name)  # also when the new one has not come through, for want of room: it is not the old one
            if fds:
                self._keep(name, fds.pop())
                client.send(number.encode())
        elif what == "drop":
            self._drop(name)
        elif what == "take":
            for kept, fd in self._kept.items():
                client.sendmsg([kept.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
            client.send(END)
            self._taken.add(client.fileno())
        elif what == "leave":
            self._leaving.add(client.fileno())
        elif what == "ping":
            client.send(END)
        elif what == "bye":
            sys.exit(0)
        for fd in fds:
            os.close(fd)

    def _keep(self, name: str, fd: int) -> None:
        self._kept[name], self._names[fd] = fd, name
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # a memfd has neither, and can't be watched
            self._poll.register(fd, 0)  # errors and hang-ups are always told

    def _drop(self, name: str) -> None:
        fd = self._kept.pop(name, None)
        if fd is not None:
            del self._names[fd]
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                self._poll.unregister(fd)
            os.close(fd)

    def _lost(self, name: str) -> None:
        mount = _mount(name)
        for each in [each for each in self._kept if each == name or (_kind(name) == FUSE and _mount(each) == mount)]:
            self._drop(each)

    def _forget(self, client: socket.socket) -> None:
        self._poll.unregister(client.fileno())
        del self._clients[client.fileno()]
        self._taken.discard(client.fileno())
        self._leaving.discard(client.fileno())
        client.close()
        if not self._clients:
            self._alone_since = time.monotonic()

    def _tidy(self, alone: float) -> None:
        """What is due when there has been no supervisor for so many seconds."""
        over = set()
        if alone >= UNMOUNT_SECONDS:
            over |= {_mount(name) for name, fd in self._kept.items() if _kind(name) == RECORD and _unmounted(fd)}
        if alone >= ABANDONED_SECONDS:
            served = {_mount(name) for name in self._kept if _kind(name).startswith(LINK)}
            over |= {_mount(name) for name in self._kept} - served
        for name in [name for name in self._kept if _mount(name) in over]:
            self._drop(name)


def _mount(name: str) -> str:
    return name.rpartition(".")[0]


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _unmounted(record: int) -> bool:
    """Unmount a mount whose record asks for it, unless something else lies over it. Whether it asked."""
    import ctypes  # a MiB of memory, which is spent when it is needed
    import json

    length, _check = _FRAME.unpack(os.pread(record, _FRAME.size, 0))
    told = json.loads(os.pread(record, length, _FRAME.size))
    if not told["spec"].get("auto-unmount", False):
        return False
    if (place := _place(told["mount_id"], told["minor"])) is not None:
        # Its path may lead over a file system that hangs, and we with it; nobody else is there to ask.
        ctypes.CDLL(None).umount2(ctypes.c_char_p(os.fsencode(place)), _MNT_DETACH | _UMOUNT_NOFOLLOW)
    return True


def _place(mount_id: int, minor: int) -> str | None:
    """Where a mount is, if it is there and on top."""
    import re

    # As in mountinfo.py, which takes more memory than a holder should have: a path may have a \r.
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        lines = [line.split(" ") for line in file]
    covered = {(fields[1], fields[4]) for fields in lines}
    for fields in lines:
        if (fields[0], fields[2]) == (str(mount_id), f"0:{minor}") and (fields[0], fields[4]) not in covered:
            return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
    return None


def main(listener: int, path: str, manner: str = "") -> int:
    """Hold until nobody needs it. Returns the exit code."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ours = os.stat(path).st_ino
    with socket.socket(fileno=listener) as bound:
        try:
            Holder(bound, external=manner == EXTERNAL).run()
        finally:
            # It may be another one's by now, and is somebody else's if they run us.
            if manner != EXTERNAL and os.path.exists(path) and os.stat(path).st_ino == ours:
                os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
