"""Binds: a volume's mount seen at a target. Called by volumes.py, when the directory of the target has answered.

Never opens or stats what is mounted: the kernel makes and takes away binds without asking the engine. Nothing here
waits, so that no other task sees anything half done.
"""

import contextlib
import errno
import logging
import os
from pathlib import Path
from typing import Final

from engine.facts import about
from engine.message_ids import VOLUME
from mountctl.supervisor import abilities, mount_api, mountinfo
from mountctl.supervisor.session import FSTYPE, Session, SessionError

# As kubelet makes them.
_DIRECTORY_MODE: Final = 0o750
# A crash between two steps leaves one more each time; more at one path is somebody's loop.
_STACK_MAX: Final = 16
# Dead sessions below the one that is seen: each took both keepers of its mount to die at once, or engines that die
# again and again. After so many the youngest is taken away, and with it what containers have that began in its time.
_DEAD_MAX: Final = 8
# In the directory of the sources: nobody looks there, and no volume has a name with a dot in front.
_WORKBENCH: Final = ".bind"

_log = logging.getLogger(__name__)


def is_bound(place: str, session: Session) -> bool:
    """Whether this session is what is seen there."""
    entry = mountinfo.at(place)
    return entry is not None and entry.is_of(session.minor, FSTYPE)


def bind(session: Session, place: str, *, read_only: bool) -> None:
    """Have a session seen there, instead of another of ours that may be. Makes the directory. Raises SessionError.

    The place is never without a mount. Containers into which it was bound so that they get what is mounted there
    (HostToContainer) see the new one.
    """
    if (source := session.place()) is None:
        raise SessionError(f"{session.spec.name} is not mounted")
    top = mountinfo.at(place)
    if top is None:
        _prepare(place)
    elif top.fstype != FSTYPE:
        raise SessionError(f"{top.told} is mounted at {place}: unmount that first")
    try:
        mount_fd = _clone(source, read_only=read_only)
        try:
            if mount_api.identity(mount_fd)[0] != session.minor:
                raise SessionError(f"something else is mounted over {source}: unmount that first")
            if top is None:
                mount_api.attach(mount_fd, place)
            else:
                _replace(mount_fd, place)
        finally:
            os.close(mount_fd)
    except OSError as error:
        if top is None:
            with contextlib.suppress(OSError):
                os.rmdir(place)
        raise SessionError(f"cannot bind {source} at {place}: {error.strerror or error}") from error


def unbind(place: str) -> None:
    """Have nothing of ours there any more. Raises SessionError for what is somebody else's."""
    for _ in range(_STACK_MAX):
        if (top := mountinfo.at(place)) is None:
            break
        if top.fstype != FSTYPE:
            raise SessionError(f"{top.told} is mounted over the volume at {place}: unmount that first")
        try:
            _umount(place)
        except OSError as error:
            raise SessionError(f"cannot unmount {place}: {error.strerror or error}") from error


def remove(place: str) -> None:
    """Have no directory there; one that is not empty stays. Raises SessionError. Call `unbind` before."""
    try:
        os.rmdir(place)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise SessionError(f"cannot remove {place}: {error.strerror or error}") from error
        _log.warning("%s: the directory stays, because something is in it", place, extra=about(VOLUME))


def _prepare(place: str) -> None:
    try:
        os.mkdir(place, _DIRECTORY_MODE)
    except FileExistsError:
        if os.path.islink(place) or not os.path.isdir(place):  # nothing is mounted there, so this can't hang
            raise SessionError(f"{place} is not a directory") from None
    except OSError as error:
        raise SessionError(f"cannot make {place}: {error.strerror or error}") from error


def _clone(source: str, *, read_only: bool) -> int:
    """Another mount of the session, attached nowhere. Read-only from the beginning, as its copies elsewhere must be,
    and alone: what is mounted on one target (`_replace`) is for that one's containers, not for all targets.
    """
    mount_fd = mount_api.clone(source)
    try:
        if abilities.may_set_attributes():
            mount_api.make_alone(mount_fd, read_only=read_only)
            return mount_fd
    except OSError as error:
        if error.errno != errno.ENOSYS:
            os.close(mount_fd)
            raise
    # Before Linux 5.12 only what is attached can be changed.
    bench = Path(source).with_name(_WORKBENCH)
    try:
        bench.mkdir(mode=0o700, exist_ok=True)
        mount_api.attach(mount_fd, str(bench))
    finally:
        os.close(mount_fd)
    try:
        mount_api.make_private(str(bench))
        if read_only:
            mount_api.remount_read_only(str(bench))
        return mount_api.clone(str(bench))
    finally:
        mount_api.umount(str(bench), lazily=True)
        bench.rmdir()


def _replace(mount_fd: int, place: str) -> None:
    """A container has what is at the place now, and of what comes later it gets what is mounted on that: so the dead
    one stays below.
    """
    if mountinfo.count(place) >= _DEAD_MAX:
        _umount(place)
    mount_api.attach(mount_fd, place)


def _umount(place: str) -> None:
    try:
        mount_api.umount(place)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _log.warning("%s: files are open there: it is unmounted lazily", place, extra=about(VOLUME))
        mount_api.umount(place, lazily=True)
