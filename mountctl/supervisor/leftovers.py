"""Multipart uploads that would stay in S3 for good, should this host go down: written down, and aborted after it.

engines.py passes on what engines tell of their uploads (engine/uploads.py). It is kept in the state directory, one file
a session (uploads_file.py). As long as a session lives, its uploads are its engines' business alone: its journal goes
from one engine to the next. Only what is left of a session that is gone, with its journal, is given to an engine that
writes to the same bucket, at the same endpoint, below a prefix that has the key; never an id that is not written down.
An engine refuses what it knows as its own. It stays written down until S3 has said that it is gone.

The supervisor waits for no disk: files are read and written in a thread, and one that can't be written stops nothing.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from engine.facts import about
from engine.message_ids import STATE_FILE, UPLOAD_LEFT, UPLOADS_ABORTED
from engine.spec import MountSpec
from engine.uploads import AbortUploads, UploadsTold
from mountctl.supervisor.session import Session
from mountctl.supervisor.uploads_file import Begun, SessionUploads, UploadFiles

# What changes within this is one write, in seconds: an upload is asked for, begun and ended more often than a disk
# should sync. Only an id that is new, without which an upload can't be aborted, does not wait for it.
WRITE_SECONDS_MIN: Final = 0.1
# A directory that can't be used (a full or read-only disk) is tried again after this.
RETRY_SECONDS: Final = 60.0
# What the last write may take when the supervisor ends.
CLOSE_SECONDS_MAX: Final = 2.0
# Of one session. An engine writes some hundreds of files at once; so many are there only when S3 has long let nobody
# abort. Fits a file (uploads_file.FILE_BYTES_MAX) whatever keys and ids are.
UPLOADS_MAX: Final = 4000
# S3's have about 130 characters.
ID_CHARACTERS_MAX: Final = 1024
# Given to one engine at a time: so many that it is not told to abort, at once, more than it can.
HANDED_MAX: Final = 1000
# Of one message, in characters of keys and ids: a packet of a link has 64 KiB, and each may take six bytes.
_MESSAGE_CHARACTERS_MAX: Final = 8 * 1024
# Sessions that are gone and have left nothing are dropped when there are twice as many as the last time, and so many
# at least.
_DROP_MIN: Final = 64
# In one line of the log, which is no place for thousands.
_KEYS_TOLD_MAX: Final = 10

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class _Known:
    """A file: what one session has begun. `lost` are ids that its engines know nothing of, though it lives."""

    uploads: SessionUploads
    lost: set[str] = field(default_factory=set)
    unconfirmed: set[str] = field(default_factory=set)  # its engine tells all anew, and has not told these yet
    told: bool = False  # its engine has told all


@dataclass
class _Talk:
    """An engine that aborts what it is given."""

    session: Session
    post: Callable[[AbortUploads], object] | None = None  # None: it aborts nothing more
    handed: set[str] = field(default_factory=set)  # given to it, and not gone yet


class Leftovers:
    """All uploads that are written down.

    Args:
        files: where.
        sessions: those that there are.
        wanted: mounts that there are, or are to be.
    """

    def __init__(
        self,
        files: UploadFiles,
        sessions: Callable[[], Iterable[Session]],
        wanted: Callable[[], Collection[MountSpec]],
    ) -> None:
        self._files: Final = files
        self._sessions: Final = sessions
        self._wanted: Final = wanted
        self._known: dict[Path, _Known] = {}
        self._talks: dict[str, _Talk] = {}  # by session
        self._read = False  # what supervisors before have written
        self._drop_at = _DROP_MIN
        self._dirty: set[Path] = set()
        self._changed = trio.Event()
        self._begun = trio.Event()  # of what has changed, some is new
        self._told_unusable = False
        # One disk, one thread; if it never answers, nobody waits for it.
        self._one: Final = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Read what is written down, then write what changes. To be started when all sessions before are adopted."""
        await self._open()
        self._tell_unwanted()
        for talk in self._talks.values():
            self._hand_out(talk)
        while True:
            await self._changed.wait()
            self._changed, self._begun = trio.Event(), trio.Event()
            if await self._write():
                with trio.move_on_after(WRITE_SECONDS_MIN):
                    await self._begun.wait()
            else:
                await trio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def aclose(self) -> None:
        """Write the last, when all engines have ended. Not cancelled, and not waited for beyond CLOSE_SECONDS_MAX."""
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_SECONDS_MAX):
            if self._read:
                await self._write()
        self._files.close()

    def heard(self, session: Session, told: UploadsTold, post: Callable[[AbortUploads], object] | None = None) -> None:
        """The engine that serves a session has said something of its uploads.

        Args:
            session: it.
            told: what it said.
            post: sends it what it is to abort; None: it is ending.
        """
        path, spec = self._files.path_of(session.token), session.spec
        if (known := self._known.get(path)) is None:
            if len(self._known) >= self._drop_at:
                self._drop_empty()
                self._drop_at = max(_DROP_MIN, 2 * len(self._known))
            known = self._known[path] = _Known(self._nothing_of(spec))
        known.uploads.endpoint_url = spec.endpoint_url  # a handover may have changed it
        if told.anew:
            known.unconfirmed, known.uploads.asked = set(known.uploads.uploads), {}
            self._talks.pop(session.token, None)
        talk = self._talks.setdefault(session.token, _Talk(session))
        talk.post = post
        if _note(known, told, spec):
            self._note_changed(path)
            if told.begun:
                self._begun.set()
        if told.all_told:
            known.told, known.lost, known.unconfirmed = True, known.lost | known.unconfirmed, set()
        if ended := talk.handed.intersection(told.ended):
            self._forget(ended, spec)
            talk.handed -= ended
        self._hand_out(talk)

    def _nothing_of(self, spec: MountSpec) -> SessionUploads:
        return SessionUploads(
            machine=self._files.machine,
            boot=self._files.boot,
            mount=spec.name,
            bucket=spec.bucket,
            endpoint_url=spec.endpoint_url,
            region=spec.region,
        )

    def _drop_empty(self) -> None:
        """Sessions that are gone and have left nothing are of no interest."""
        living = self._living()
        for path, known in list(self._known.items()):
            if path not in living and path not in self._dirty and not (known.uploads.uploads or known.uploads.asked):
                del self._known[path]
        for token in [token for token in self._talks if self._files.path_of(token) not in living]:
            del self._talks[token]

    def _note_changed(self, path: Path) -> None:
        self._dirty.add(path)
        self._changed.set()

    def _forget(self, ended: Collection[str], spec: MountSpec) -> None:
        """These of sessions that are gone are not in S3 any more."""
        for path, known in self._left(spec):
            found = [each for each in ended if known.uploads.uploads.pop(each, None) is not None]
            known.lost.difference_update(found)
            if found:
                self._note_changed(path)

    def _left(self, spec: MountSpec) -> list[tuple[Path, _Known]]:
        return [(path, known) for path, known in self._known.items() if known.uploads.is_of(spec)]

    def _living(self) -> set[Path]:
        return {self._files.path_of(session.token) for session in self._sessions()}

    def _hand_out(self, talk: _Talk) -> None:
        """Give an engine some of what is left where its mount writes, if it has not too much of that already."""
        spec = talk.session.spec
        if not any(known.uploads.uploads or known.uploads.asked for _, known in self._left(spec)):
            return  # as ever
        living = self._living()
        lives = self._files.path_of(talk.session.token) in living
        if not self._read or not lives or talk.post is None or len(talk.handed) >= HANDED_MAX:
            return
        some: dict[str, str] = {}
        room = _MESSAGE_CHARACTERS_MAX
        for path, known in self._left(spec):
            if path not in living:
                self._give_up_asked(path, known, spec)
            for each, begun in known.uploads.uploads.items():
                left = path not in living or each in known.lost
                if left and room > 0 and each not in talk.handed and begun.key.startswith(spec.prefix):
                    some[each] = begun.key
                    room -= len(each) + len(begun.key)
        if some:
            talk.handed |= some.keys()
            _log.info(
                "%s: %d multipart uploads that were left behind are to be aborted",
                spec.name,
                len(some),
                extra=about(UPLOADS_ABORTED),
            )
            talk.post(AbortUploads(uploads=some))

    def _give_up_asked(self, path: Path, known: _Known, spec: MountSpec) -> None:
        """Whose id is not known may be another host's: nobody looks for it. It is told, once."""
        keys = [key for key in known.uploads.asked if key.startswith(spec.prefix)]
        if keys:
            _log.warning(
                "%s: not known is whether S3 had begun uploads, when everything ended, of %s%s: none is aborted",
                spec.name,
                ", ".join(map(repr, keys[:_KEYS_TOLD_MAX])),
                f" and {len(keys) - _KEYS_TOLD_MAX} more" if len(keys) > _KEYS_TOLD_MAX else "",
                extra=about(UPLOAD_LEFT),
            )
            for key in keys:
                del known.uploads.asked[key]
            self._note_changed(path)

    def _tell_unwanted(self) -> None:
        living, wanted = self._living(), self._wanted()
        for path, known in self._known.items():
            file = known.uploads
            specs = [spec for spec in wanted if file.is_of(spec)]
            kept = [each for each in file.uploads.values() if not any(each.key.startswith(s.prefix) for s in specs)]
            if kept and path not in living:
                _log.warning(
                    "%d multipart uploads that the mount %s left in %s stay there, and in %s: no mount may write there",
                    len(kept),
                    file.mount,
                    file.bucket,
                    path,
                    extra=about(UPLOAD_LEFT),
                )

    async def _open(self) -> None:
        """Read all, as soon as the directory can be used."""
        while True:
            try:
                found = await self._in_thread(self._files.open)
            except OSError as error:
                self._tell_unusable(error)
                await trio.sleep(RETRY_SECONDS)
            else:
                break
        self._take_in(found)
        self._read = True

    def _take_in(self, found: dict[Path, SessionUploads]) -> None:
        for path, uploads in found.items():
            known = self._known.setdefault(path, _Known(uploads))
            if known.uploads is not uploads:  # its engine was faster than the disk
                older = {each: begun for each, begun in uploads.uploads.items() if each not in known.uploads.uploads}
                known.uploads.uploads |= older
                if known.told:
                    known.lost |= older.keys()
                else:
                    known.unconfirmed |= older.keys()

    async def _write(self) -> bool:
        """Write what has changed. False if that can't be done now."""
        while self._dirty:
            path = self._dirty.pop()
            file = self._known[path].uploads
            data = file.model_dump_json(indent=1).encode() if file.uploads or file.asked else None
            try:
                await self._in_thread(partial(self._files.write, path, data))
            except OSError as error:
                self._dirty.add(path)
                self._tell_unusable(error)
                return False
            except trio.Cancelled:
                self._dirty.add(path)
                raise
        if self._told_unusable:
            _log.info("%s is written again", self._files.directory, extra=about(STATE_FILE))
            self._told_unusable = False
        return True

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._one)

    def _tell_unusable(self, error: OSError) -> None:
        if all(spec.read_only for spec in self._wanted()):
            return  # nothing is begun that could stay
        if not self._told_unusable:
            _log.warning(
                "cannot use %s: uploads that are begun now stay in S3, should this host go down: %s",
                self._files.directory,
                error.strerror or error,
                extra=about(STATE_FILE),
            )
        self._told_unusable = True


def _note(known: _Known, told: UploadsTold, spec: MountSpec) -> bool:
    """Take in what an engine has said of its own session. Returns whether that is news."""
    uploads, before = known.uploads, (dict(known.uploads.uploads), dict(known.uploads.asked))
    now = time.time()
    for each, key in told.begun.items():
        if key.startswith(spec.prefix) and len(each) <= ID_CHARACTERS_MAX and len(uploads.uploads) < UPLOADS_MAX:
            uploads.uploads.setdefault(each, Begun(key=key, since=now))
        known.unconfirmed.discard(each)
        known.lost.discard(each)
    for each in told.ended:
        uploads.uploads.pop(each, None)
        known.unconfirmed.discard(each)
        known.lost.discard(each)
    for key, when in told.asked.items():
        if key.startswith(spec.prefix) and len(uploads.uploads) + len(uploads.asked) < UPLOADS_MAX:
            uploads.asked[key] = when
    for key in told.settled:
        uploads.asked.pop(key, None)
    return before != (uploads.uploads, uploads.asked)
