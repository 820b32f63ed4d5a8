"""A FUSE session: the kernel's side of a mount. Belongs to the supervisor and outlives the engines that serve it.

Made detached, attached to its mountpoint once an engine is ready, detached at the end. Called by mount.py. Never
opens or stats a path inside a mount, nor holds a file descriptor on one: it would hang with the engine.
"""

import contextlib
import logging
import os
import select
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from engine import kernel_read_ahead
from engine.facts import about
from engine.message_ids import MOUNT_LEFT
from engine.spec import MountSpec
from mountctl.supervisor import abilities, claims, fuse_init, fusectl, mount_api, mountinfo, recognition, record
from mountctl.supervisor.bequest import Bequest
from mountctl.supervisor.lookout import Lookout, is_over

FUSE_DEVICE: Final = "/dev/fuse"
SUBTYPE: Final = "mountctl"
FSTYPE: Final = f"fuse.{SUBTYPE}"
# What waits for somebody to come is there to be mounted over.
AUTOFS: Final = "autofs"

# No mount has this number.
_NOWHERE: Final = -1
# What is kept of a session for a supervisor after this one.
KINDS: Final = ("fuse", "journal", "record")

# The kernel queues INIT while the mount is made; a second is for a machine that is out of its mind.
_INIT_TIMEOUT_MS: Final = 1000
# Any request fits: the kernel refuses to read into less than its largest one (1 MiB of data and headers).
_REQUEST_BYTES_MAX: Final = (1 << 20) + 4096

_log = logging.getLogger(__name__)
_LEFT: Final = about(MOUNT_LEFT)


class SessionError(Exception):
    """The kernel's side of a mount can't be had; the message says why and how to mend it."""


@dataclass
class Session:
    """One mounted FUSE connection, by `create` or `restore`. `generation` counts the engines that have served it."""

    spec: MountSpec
    fuse_fd: int
    journal_fd: int  # what each engine leaves for the next: engine/journal.py
    record_fd: int  # what this supervisor leaves for the next: record.py
    init_request: bytes
    minor: int
    mount_id: int
    mount_fd: int = -1  # until it is attached
    generation: int = 0
    attached: bool = False
    made_directory: bool = False
    swept: int = 0  # no request up to this number is in flight: sweep.py has answered them
    region: str = ""  # where an engine found the bucket to be, for those after it
    transient: bool = False
    uid: int | None = None  # of its engines
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # by which its uploads are written down: leftovers.py
    bequest: Bequest = field(default_factory=Bequest, init=False)  # what its last engine has left for the next
    lookout: Lookout = field(default_factory=Lookout, init=False)
    _claim: socket.socket | None = field(default=None, init=False)  # on a dead mount that is kept

    @classmethod
    def create(cls, spec: MountSpec) -> Self:
        """A new session, attached nowhere yet. Raises SessionError: /dev/fuse is missing or the kernel refuses."""
        with contextlib.ExitStack() as opened:
            try:
                fuse_fd = os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC)
                opened.callback(os.close, fuse_fd)
            except OSError as error:
                reason = f"cannot open {FUSE_DEVICE}: {error.strerror}; is the fuse module loaded?"
                raise SessionError(reason) from error
            try:
                mount_fd = mount_api.fuse_fsmount(
                    fuse_fd, spec.source, SUBTYPE, allow_other=spec.allow_other, read_only=spec.read_only
                )
                opened.callback(os.close, mount_fd)
                init_request = _answer_init(fuse_fd)
                minor, mount_id = mount_api.identity(mount_fd)
            except (OSError, ValueError) as error:
                notes = " ".join(getattr(error, "__notes__", []))
                raise SessionError(f"the kernel refused the mount: {error} {notes}".strip()) from error
            opened.pop_all()
        kernel_read_ahead.set_up(f"0:{minor}")
        journal_fd = os.memfd_create("mountctl-journal", os.MFD_CLOEXEC)
        return cls(spec, fuse_fd, journal_fd, record.create(), init_request, minor, mount_id, mount_fd)

    @classmethod
    def restore(cls, fds: dict[str, int]) -> Self | None:
        """The session of a supervisor before, from what was kept of it; None if that is not whole. Owns the `fds`."""
        known = record.read(fds["record"]) if set(fds) == set(KINDS) else None
        if known is None:
            for fd in fds.values():
                os.close(fd)
            return None
        session = cls(
            known.spec,
            fds["fuse"],
            fds["journal"],
            fds["record"],
            bytes.fromhex(known.init_request),
            known.minor,
            known.mount_id,
            generation=known.generation,
            attached=True,
            made_directory=known.made_directory,
            region=known.region,
            transient=known.transient,
            uid=known.uid,
            token=known.token or uuid.uuid4().hex,
        )
        session.recognise(known.place, known.namespace)
        return session

    def recognise(self, place: str, namespace: int) -> None:
        """Know its mount by the number that it has for this process, whatever that was elsewhere.

        Args:
            place: where it was attached, as the kernel has it; empty if that is not known.
            namespace: of the mounts that its number is one of; 0 if that is not known: then of ours.
        """
        here = recognition.namespace()
        entries = mountinfo.of(self.minor, FSTYPE)
        found = recognition.own(entries, self.mount_id, {place, self.mountpoint}, same=namespace in (0, here))
        before, self.mount_id = self.mount_id, _NOWHERE if found is None else found.mount_id
        self.lookout = Lookout(place or None)
        if (before, namespace) != (self.mount_id, here):
            self.write_record()

    @property
    def mountpoint(self) -> str:
        """Where it belongs."""
        return self.spec.mountpoint

    @property
    def has_resend(self) -> bool:
        """The kernel hands out again what an engine has left unanswered."""
        return abilities.may_resend() and fuse_init.parse(self.init_request).has_resend

    @property
    def kept(self) -> dict[str, int]:
        """What a supervisor after this one needs, by kind."""
        return {"fuse": self.fuse_fd, "journal": self.journal_fd, "record": self.record_fd}

    def next_generation(self) -> None:
        """An engine has had this generation's numbers. Written down before the next one is told."""
        self.generation += 1
        self.write_record()

    def served_as(self, spec: MountSpec) -> None:
        """Its engine serves it with these options now; mountpoint, bucket and prefix are what they were."""
        self.spec = spec
        self.write_record()

    def attach(self) -> None:
        """Put the mount at its mountpoint; makes the directory if it is missing. Raises SessionError.

        Call stale.clear before: from here on the path is touched.
        """
        self.made_directory = _prepare(self.mountpoint)
        self._attach_at(lambda: mount_api.attach(self.mount_fd, self.mountpoint))

    def move(self, spec: MountSpec) -> None:
        """Be at the mountpoint of `spec`, and no longer where it was: same file system, same engine, files stay open.

        Raises SessionError; then it is where it was. Call stale.clear before. The mount has another number then.
        """
        if (place := self.place()) is None:
            raise SessionError("somebody has unmounted it")
        if (over := self.covered()) is not None:
            raise SessionError(f"{over}: unmount that first")
        made = _prepare(spec.mountpoint)
        try:
            # Not MS_MOVE: the kernel refuses it where mounts are shared with other namespaces, as systemd has them.
            mount_fd = mount_api.clone(place)
            try:
                _, mount_id = mount_api.identity(mount_fd)
                mount_api.attach(mount_fd, spec.mountpoint)
            finally:
                os.close(mount_fd)
        except OSError as error:
            _remove_directory(spec.mountpoint, made=made)
            raise SessionError(f"cannot mount at {spec.mountpoint}: {error.strerror or error}") from error
        before, made_before = self.mountpoint, self.made_directory
        self.spec, self.mount_id, self.made_directory = spec, mount_id, made
        self.lookout = Lookout(self.place())
        self.write_record()
        _umount(place)
        _remove_directory(before, made=made_before)

    def alive(self) -> bool:
        """Whether the attached mount is still mounted somewhere (nobody else unmounted it)."""
        return self._entry() is not None

    def replace(self, other: "Session") -> None:
        """Attach where another session is, and detach that one. Files open on it go on with it, or not at all.

        With MOVE_MOUNT_BENEATH the path is never without a mount; else, or where the kernel refuses that, it is for
        about a millisecond. Works whatever the other one's state: hung, aborted, or well. Raises SessionError.
        """
        if (place := other.place()) is None:
            self.attach()
            return
        if (over := other.covered()) is not None:
            raise SessionError(f"{over}: unmount that first")
        made, other.made_directory = other.made_directory, False  # the directory stays
        try:
            beneath = abilities.beneath() and self._attach_at(lambda: mount_api.attach_beneath(self.mount_fd, place))
            other.detach()
            if not beneath:
                self._attach_at(lambda: mount_api.attach(self.mount_fd, place))
        except SessionError:
            other.made_directory = made
            raise
        self.made_directory = made

    def _attach_at(self, attach: Callable[[], bool | None]) -> bool:
        """Whether it could be: False if `attach` says so. Raises SessionError."""
        try:
            if attach() is False:
                return False
        except OSError as error:
            raise SessionError(f"cannot mount at {self.mountpoint}: {error.strerror or error}") from error
        self.attached = True
        self.lookout = Lookout(self.place())
        # As long as we held it, the mount could be unmounted, but its connection would never end.
        os.close(self.mount_fd)
        self.mount_fd = -1
        self.write_record()
        return True

    def connected(self) -> bool:
        """Whether the kernel still has a connection for it. Nobody can serve one that was aborted."""
        return not self._polled() & select.POLLERR

    def unread(self) -> bool:
        """Whether the kernel has requests for it that nobody has read."""
        return bool(self._polled() & select.POLLIN)

    def _polled(self) -> int:
        poll = select.poll()
        poll.register(self.fuse_fd, select.POLLIN)
        return next((events for _, events in poll.poll(0)), 0)

    def _entry(self) -> mountinfo.MountEntry | None:
        return mountinfo.known(self.mount_id, self.minor, FSTYPE)

    def covered(self) -> str | None:
        """What is mounted over it now, in a sentence: its path does not lead to it, and it can't be unmounted."""
        entry = self._entry() if self.attached else None
        over = None if entry is None else mountinfo.covering(entry)
        return None if over is None else is_over(over)

    def place(self) -> str | None:
        """Where the attached mount is now (somebody may have moved it), or None if it is gone."""
        entry = self._entry() if self.attached else None
        return None if entry is None else entry.mountpoint

    def detach(self) -> bool:
        """Take the mount away, unless it is `covered`: nobody else's is taken away for it.

        True if files were open on it: then it went lazily, and their reads will fail.
        """
        place, busy = self.place(), False
        if (over := self.covered()) is not None:
            text = "%s: the mount at %s stays, and is dead from now on: %s"
            _log.warning(text, self.spec.name, place, over, extra=_LEFT)
        elif place is not None:
            busy = _umount(place)
        self.attached = False
        if self._claim is not None:
            self._claim.close()
            self._claim = None
        _remove_directory(self.mountpoint, made=self.made_directory)
        return busy

    def abort(self, *, held: bool) -> None:
        """End the connection: who waits for it gets ECONNABORTED, later ones ENOTCONN. The mount stays where it is.

        Args:
            held: another process has our descriptor and can't be ended. Then it is not enough that we let go, and
                without fusectl the only way left unmounts a mount that nobody uses.
        """
        try:
            self._claim = claims.claim(self.minor)
        except OSError as error:
            _log.warning("%s: another supervisor may take its dead mount away: %s", self.spec.name, error, extra=_LEFT)
        fusectl.abort(self.minor)
        if held and self.connected() and (place := self.place()) is not None:
            try:
                mount_api.abort(place)
            except OSError as error:
                _log.error("%s: its connection can't be ended: %s", self.spec.name, error, extra=_LEFT)
        self.close()

    def close(self) -> None:
        """Let go. If no engine holds the session either, what was still open on the mount fails with ENOTCONN."""
        for fd in (self.mount_fd, self.fuse_fd, self.journal_fd, self.record_fd):
            if fd >= 0:
                os.close(fd)
        self.mount_fd = self.fuse_fd = self.journal_fd = self.record_fd = -1
        self.bequest.close()

    def write_record(self) -> None:
        """Have the supervisor after this one know it as it is now."""
        told = record.SessionRecord(
            spec=self.spec,
            init_request=self.init_request.hex(),
            minor=self.minor,
            mount_id=self.mount_id,
            generation=self.generation,
            made_directory=self.made_directory,
            region=self.region,
            transient=self.transient,
            uid=self.uid,
            token=self.token,
            place=self.lookout.place or "",
            namespace=recognition.namespace(),
        )
        record.write(self.record_fd, told)


def _answer_init(fuse_fd: int) -> bytes:
    poll = select.poll()
    poll.register(fuse_fd, select.POLLIN)
    if not poll.poll(_INIT_TIMEOUT_MS):
        raise TimeoutError("no FUSE INIT request came")
    request = os.read(fuse_fd, _REQUEST_BYTES_MAX)
    os.write(fuse_fd, fuse_init.reply(fuse_init.parse(request)))
    return request


def must_be_free(mountpoint: str) -> None:
    """Nothing is mounted there, or where it links to. Raises SessionError. Call when the path has answered."""
    found = mountinfo.at(mountpoint) or mountinfo.at(os.path.realpath(mountpoint))
    if found is not None and found.fstype != AUTOFS:
        raise SessionError(f"{found.told} is already mounted at {mountpoint}: unmount it or choose another mountpoint")


def _prepare(mountpoint: str) -> bool:
    """Make sure that there is a directory with nothing mounted on it. True if it was made. Raises SessionError."""
    must_be_free(mountpoint)
    try:
        return _make_directory(Path(mountpoint))
    except (FileExistsError, NotADirectoryError) as error:
        raise SessionError(f"{mountpoint} is not a directory") from error
    except OSError as error:
        raise SessionError(f"cannot mount at {mountpoint}: {error.strerror or error}") from error


def _remove_directory(path: str, *, made: bool) -> None:
    if made:
        with contextlib.suppress(OSError):  # something lies in it or on it: then it stays
            os.rmdir(path)


def _umount(path: str) -> bool:
    try:
        mount_api.umount(path)
    except OSError:
        mount_api.umount(path, lazily=True)
        return True
    return False


def _make_directory(path: Path) -> bool:
    """Make a directory and its parents. mkdir looks at a name in its parent only: a hung mount there is no risk."""
    try:
        path.mkdir(mode=0o755)
    except FileExistsError:
        if not path.is_dir():  # nothing is mounted there, so this can't hang
            raise
        return False
    except FileNotFoundError:
        _make_directory(path.parent)
        path.mkdir(mode=0o755)
    return True
