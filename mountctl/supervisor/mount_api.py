"""Linux's mount API by ctypes: fsopen, fsconfig, fsmount, open_tree, move_mount, umount2, statx; a prctl switch.

Called by session.py (and daemon.py for the subreaper). Knows nothing of S3. Needs Linux 5.2 (fsopen); every call
raises OSError with what the kernel's fs context says, where it says something.
"""

import contextlib
import ctypes
import errno
import os
import struct
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# System call numbers: the same on x86-64 and arm64 (asm-generic since Linux 5.2); statx is not.
_NR_OPEN_TREE: Final = 428
_NR_MOVE_MOUNT: Final = 429
_NR_FSOPEN: Final = 430
_NR_FSCONFIG: Final = 431
_NR_FSMOUNT: Final = 432
_NR_MOUNT_SETATTR: Final = 442
_NR_STATX: Final = {"x86_64": 332, "aarch64": 291}[os.uname().machine]

_OPEN_TREE_CLONE: Final = 1
_FSOPEN_CLOEXEC: Final = 1
_FSMOUNT_CLOEXEC: Final = 1
_FSCONFIG_SET_FLAG: Final = 0
_FSCONFIG_SET_STRING: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOVE_MOUNT_T_SYMLINKS: Final = 0x10
_MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
_MOVE_MOUNT_BENEATH: Final = 0x200  # since Linux 6.5
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_MNT_ID: Final = 0x1000
_STATX_BYTES: Final = 256
_STATX_DEV_OFFSET: Final = 136  # dev_major, dev_minor, then mnt_id: struct statx of linux/stat.h
_MOUNT_ATTR: Final = struct.Struct(
    "=QQQQ"
)  # struct mount_attr of linux/mount.h: set, clear, propagation, user namespace
_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_REMOUNT: Final = 0x20
_MS_NOATIME: Final = 0x400
_MS_BIND: Final = 0x1000
_MS_PRIVATE: Final = 1 << 18
_PR_SET_CHILD_SUBREAPER: Final = 36

MOUNT_ATTR_RDONLY: Final = 1
MOUNT_ATTR_NOSUID: Final = 2
MOUNT_ATTR_NODEV: Final = 4
MOUNT_ATTR_NOATIME: Final = 0x10

MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(number: int, what: str, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def fuse_fsmount(device_fd: int, source: str, subtype: str, *, allow_other: bool, read_only: bool) -> int:
    """Make a FUSE file system that is attached nowhere yet; returns its mount's file descriptor.

    The kernel's INIT request can be read from `device_fd` (an open /dev/fuse) afterwards. `default_permissions` is
    always on: the kernel checks modes. Raises OSError.
    """
    fs = _syscall(_NR_FSOPEN, "fsopen", ctypes.c_char_p(b"fuse"), ctypes.c_uint(_FSOPEN_CLOEXEC))
    try:
        strings = {
            "source": source,
            "subtype": subtype,
            "fd": str(device_fd),
            "rootmode": "40000",
            "user_id": "0",
            "group_id": "0",
        }
        for key, value in strings.items():
            _fsconfig(fs, _FSCONFIG_SET_STRING, key, value)
        flags = ["default_permissions", *(["allow_other"] if allow_other else []), *(["ro"] if read_only else [])]
        for flag in flags:
            _fsconfig(fs, _FSCONFIG_SET_FLAG, flag)
        _fsconfig(fs, _FSCONFIG_CMD_CREATE)
        attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME
        attributes |= MOUNT_ATTR_RDONLY if read_only else 0
        return _syscall(
            _NR_FSMOUNT, "fsmount", ctypes.c_int(fs), ctypes.c_uint(_FSMOUNT_CLOEXEC), ctypes.c_uint(attributes)
        )
    except OSError as error:
        with contextlib.suppress(OSError):  # the context has something to say only after some errors
            error.add_note(os.read(fs, 4096).decode(errors="replace"))
        raise
    finally:
        os.close(fs)


def _fsconfig(fs: int, command: int, key: str | None = None, value: str | None = None) -> None:
    _syscall(
        _NR_FSCONFIG,
        f"fsconfig {key or 'create'}",
        ctypes.c_int(fs),
        ctypes.c_uint(command),
        ctypes.c_char_p(None if key is None else os.fsencode(key)),
        ctypes.c_char_p(None if value is None else os.fsencode(value)),
        ctypes.c_int(0),
    )


def attach(mount_fd: int, path: str) -> None:
    """Put a detached mount at `path`, or where it links to. Does not ask what lies beneath. Raises OSError."""
    _move_mount(mount_fd, _AT_FDCWD, path, _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_SYMLINKS)


def clone(path: str) -> int:
    """Another mount of what is mounted on top at `path`, attached nowhere; returns its file descriptor. Raises OSError.

    Both are the same file system, which nobody asks: the path ends at its root.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    directory, name = ctypes.c_int(_AT_FDCWD), ctypes.c_char_p(os.fsencode(path))
    return _syscall(_NR_OPEN_TREE, "open_tree", directory, name, ctypes.c_uint(flags))


def make_alone(mount_fd: int, *, read_only: bool) -> None:
    """Have a detached mount not get what is mounted on the one that it was cloned of, nor the other way round, and
    perhaps refuse writing, which its file system does not. Needs Linux 5.12; raises OSError (ENOSYS).
    """
    attributes = _MOUNT_ATTR.pack(MOUNT_ATTR_RDONLY if read_only else 0, 0, _MS_PRIVATE, 0)
    _syscall(
        _NR_MOUNT_SETATTR,
        "mount_setattr",
        ctypes.c_int(mount_fd),
        ctypes.c_char_p(b""),
        ctypes.c_uint(_AT_EMPTY_PATH),
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(len(attributes)),
    )


def make_private(path: str) -> None:
    """The first half of that for what is mounted on top at `path`. Raises OSError."""
    place = ctypes.c_char_p(os.fsencode(path))
    _check(_libc.mount(None, place, None, ctypes.c_ulong(_MS_PRIVATE), None), "mount")


def remount_read_only(path: str) -> None:
    """The second half for what is mounted on top at `path`, a mount as `fuse_fsmount` makes them. Raises OSError."""
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOATIME
    place = ctypes.c_char_p(os.fsencode(path))
    _check(_libc.mount(None, place, None, ctypes.c_ulong(flags), None), "mount")


def attach_beneath(mount_fd: int, path: str) -> bool:
    """Put a detached mount beneath what is mounted on top at `path`: seen when that is unmounted. Raises OSError.

    Asks neither of the two, so it works on mounts that are hung or dead. False: nothing was done, as the kernel can't
    keep that where mounts are shared so that one would come over another.
    """
    try:
        _move_mount(mount_fd, _AT_FDCWD, path, _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_BENEATH)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def knows_beneath() -> bool:
    """Whether `attach_beneath` is known to the kernel, which looks at flags before it looks at descriptors."""
    try:
        _move_mount(-1, -1, "", _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH | _MOVE_MOUNT_BENEATH)
    except OSError as error:
        return error.errno == errno.EBADF
    raise AssertionError("no mount can be moved by a descriptor that is none")


def _move_mount(mount_fd: int, directory_fd: int, path: str, flags: int) -> None:
    _syscall(
        _NR_MOVE_MOUNT,
        "move_mount",
        ctypes.c_int(mount_fd),
        ctypes.c_char_p(b""),
        ctypes.c_int(directory_fd),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(flags),
    )


def umount(path: str, *, lazily: bool = False) -> None:
    """Unmount what is on top at `path`; lazily: out of sight at once, gone when the last file is closed."""
    flags = UMOUNT_NOFOLLOW | (MNT_DETACH if lazily else 0)
    _check(_libc.umount2(ctypes.c_char_p(os.fsencode(path)), ctypes.c_int(flags)), "umount2")


def abort(path: str) -> None:
    """End the FUSE connection of what is mounted on top at `path`; if nobody uses it, it is unmounted as well.

    Raises OSError, but not for a mount that is in use: its connection is ended all the same.
    """
    try:
        _check(_libc.umount2(ctypes.c_char_p(os.fsencode(path)), ctypes.c_int(MNT_FORCE | UMOUNT_NOFOLLOW)), "umount2")
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise


def identity(mount_fd: int) -> tuple[int, int]:
    """The device's minor number (the FUSE connection's number) and the mount's id, without asking the engine."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    _syscall(
        _NR_STATX,
        "statx",
        ctypes.c_int(mount_fd),
        ctypes.c_char_p(b""),
        ctypes.c_int(_AT_EMPTY_PATH | _AT_STATX_DONT_SYNC),
        ctypes.c_uint(_STATX_MNT_ID),
        buffer,
    )
    _major, minor, mount_id = struct.unpack_from("=IIQ", buffer, _STATX_DEV_OFFSET)
    return minor, mount_id


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that their exit status is ours to read."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
