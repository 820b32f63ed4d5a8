"""The state file: which mounts this supervisor has made, for one after it that finds nothing else of them.

Written by keeping.py whenever a mount is made, read by supervisor.py at a start, for old_mounts.py. One file a runtime
directory, below the state directory, so that supervisors need not wait for each other. Nothing in it is believed by
itself: a mount is one of ours only if the kernel's list of mounts has it with the same numbers, in the same boot.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from mountctl.supervisor import mountinfo, recognition, state_file
from mountctl.supervisor.session import FSTYPE, Session

# Those that are gone are forgotten when there are twice as many as the last time, and so many at least: not with each
# new one, which with hundreds of mounts would be all of them hundreds of times.
_FORGET_MIN: Final = 64


class Noted(BaseModel):
    """A mount that was made."""

    model_config = ConfigDict(frozen=True)

    mount_id: int
    minor: int
    mountpoint: str
    source: str
    namespace: int = 0  # of mounts, in which it has that mount_id; 0: not known, so ours

    def is_at(self, entry: mountinfo.MountEntry, here: int) -> bool:
        """Whether it is this mount that is in the kernel's list, in this namespace. It may have been moved, if that is
        the one that it was made in; in others it has another number.
        """
        if not entry.is_of(self.minor, FSTYPE) or entry.source != self.source:
            return False
        if self.namespace in (0, here):
            return entry.mount_id == self.mount_id
        return entry.mountpoint == self.mountpoint


class _File(BaseModel):
    boot: str
    mounts: list[Noted]


class MountsFile:
    """The file of one runtime directory.

    Args:
        state_dir: the state directory; made when it is needed.
        runtime_dir: this supervisor's.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path) -> None:
        self._path = state_file.path_of(state_dir, "mounts", runtime_dir)
        self._boot = state_file.boot_id()
        self._noted: list[Noted] = self._read()
        self._forget_at = _FORGET_MIN

    def noted(self) -> list[Noted]:
        """The mounts of this boot that supervisors on this runtime directory have made, as far as is known."""
        return list(self._noted)

    def note(self, session: Session) -> None:
        """A mount is about to be attached, or adopted. Those that are gone are forgotten now and then."""
        if len(self._noted) >= self._forget_at:
            self._forget_those_gone()
        new = Noted(
            mount_id=session.mount_id,
            minor=session.minor,
            mountpoint=session.mountpoint,
            source=session.spec.source,
            namespace=recognition.namespace(),
        )
        if new in self._noted:
            return
        self._noted.append(new)
        # Not synced to the disk: what a power cut takes is of no use after it.
        text = _File(boot=self._boot, mounts=self._noted).model_dump_json(indent=1)
        state_file.keep(self._path, text, "mounts of a supervisor that dies may not be found", synced=False)

    def finish(self) -> None:
        """This supervisor has unmounted what it could."""
        self._forget_those_gone()
        if not self._noted:
            state_file.remove(self._path)

    def _forget_those_gone(self) -> None:
        now, here = defaultdict[int, list[mountinfo.MountEntry]](list), recognition.namespace()
        for entry in mountinfo.entries():
            now[entry.minor].append(entry)
        self._noted = [each for each in self._noted if any(each.is_at(entry, here) for entry in now[each.minor])]
        self._forget_at = max(_FORGET_MIN, 2 * len(self._noted))

    def _read(self) -> list[Noted]:
        found = state_file.read(self._path, _File, "it is not known which mounts were made before")
        return found.mounts if found is not None and found.boot == self._boot else []
