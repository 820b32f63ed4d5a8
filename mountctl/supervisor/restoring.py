"""What S3 restores of all mounts' archived objects: asked for through their engines, kept for whoever comes next.

Run by daemon.py. A restore takes minutes to days, so it outlives engines, supervisors and reboots: what was asked for
is written to the state directory before S3 is asked, by mount, and is good for the bucket and prefix that the mount has
then (under_way.py has the rules). Whatever engine serves a mount is asked now and then for a sample of each, and for
all of it when the sample is there.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio
from pydantic import BaseModel, Field

from engine.facts import about
from engine.message_ids import RESTORES, STATE_FILE
from engine.restores import KEYS_MAX, AskRestore, RestoreTold
from engine.spec import MountSpec
from mountctl.status import RestoresStatus, RestoreStatus, utc
from mountctl.supervisor import state_file, under_way
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.restores import CannotRestore
from mountctl.supervisor.state import SERVED
from mountctl.supervisor.under_way import Entry

# How late a look is at most, in seconds.
_TURN_SECONDS: Final = 10.0
# S3 is asked also if the disk does not answer: then it may be forgotten.
_WRITE_SECONDS_MAX: Final = 5.0
# Of one mount; each is a path that was asked for by itself. What is more is restored, and not told of.
ENTRIES_MAX: Final = 5000
# Of one mount in the status, those expected first.
TOLD_MAX: Final = 20
_NOTHING: Final = RestoresStatus()
_FILE_MODE: Final = 0o600  # keys are nobody else's business

_log = logging.getLogger(__name__)


class _Known(BaseModel):
    """Of one mount, as long as it is of this bucket and prefix."""

    bucket: str
    endpoint_url: str | None = None
    prefix: str = ""
    entries: list[Entry] = Field(default_factory=list)

    def is_of(self, spec: MountSpec) -> bool:
        return (self.bucket, self.endpoint_url, self.prefix) == (spec.bucket, spec.endpoint_url, spec.prefix)


class _File(BaseModel):
    mounts: dict[str, _Known] = Field(default_factory=dict)


class Restoring:
    """What S3 restores of one supervisor's mounts.

    Args:
        state_dir: where it is kept.
        runtime_dir: this supervisor's.
        clock: seconds since the epoch.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._path: Final = state_file.path_of(state_dir, "restores", runtime_dir)
        self._clock: Final = clock
        self._known = _read(self._path)
        self._at_work: set[tuple[str, str, bool]] = set()  # mount, path, recursive: S3 is being asked for these
        self._looking: set[str] = set()  # mounts
        self._one: Final = trio.CapacityLimiter(1)  # one disk
        self._told_unusable = False

    async def run(self, mounts: Callable[[], Mapping[str, Mount]]) -> None:
        """Look at what is under way until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for name, mount in mounts().items():
                    if name not in self._looking and self._entries(mount.spec) and mount.state in SERVED:
                        self._looking.add(name)
                        nursery.start_soon(self._look, name, mount)
                await trio.sleep(_TURN_SECONDS)

    async def ask(self, mount: Mount, asked: AskRestore) -> RestoreTold:
        """Have a mount's engine restore objects, or look at them. Raises CannotRestore."""
        if mount.state not in SERVED:
            raise CannotRestore(
                f"{mount.spec.name} is {mount.state}, and S3 was asked for nothing: ask again when it is ready"
            )
        spec, work = mount.spec, {(mount.spec.name, path, asked.recursive) for path in asked.paths}
        if not asked.begin:
            answer = await _ask(mount, asked)
            await self._note(spec, under_way.told(self._entries(spec), asked, answer, self._clock()))
            return answer
        self._at_work |= work
        try:
            await self._note(spec, under_way.asking(self._entries(spec), asked, self._clock()))
            answer = await _ask(mount, asked)
        except CannotRestore as error:
            if not error.begun:
                await self._note(spec, under_way.not_asked(self._entries(spec), asked))
            raise
        finally:
            self._at_work -= work
        if answer.paths:
            now = under_way.told(self._entries(spec), asked, answer, self._clock())
        else:
            now = under_way.not_asked(self._entries(spec), asked)
        await self._note(spec, now)
        return answer

    def told(self, spec: MountSpec) -> RestoresStatus:
        """What is under way of a mount, for the status."""
        entries = [entry for entry in self._entries(spec) if entry.objects]
        if not entries:
            return _NOTHING
        entries.sort(key=lambda entry: (entry.expected or float("inf"), entry.path))
        expected = [entry.expected for entry in entries if entry.expected is not None]
        return RestoresStatus(
            under_way=sum(entry.objects for entry in entries),
            next_expected=utc(min(expected)) if expected else None,
            requests=[
                RestoreStatus(
                    path="/".join(each for each in (spec.mountpoint.rstrip("/"), entry.path) if each) or "/",
                    recursive=entry.recursive,
                    tier=entry.tier,
                    objects=entry.objects,
                    asked=utc(entry.asked),
                    expected=None if entry.expected is None else utc(entry.expected),
                )
                for entry in entries[:TOLD_MAX]
            ],
        )

    def _entries(self, spec: MountSpec) -> Sequence[Entry]:
        known = self._known.get(spec.name)
        return known.entries if known is not None and known.is_of(spec) else ()

    async def _look(self, name: str, mount: Mount) -> None:
        try:
            await self._look_at_due(name, mount)
        finally:
            self._looking.discard(name)

    async def _look_at_due(self, name: str, mount: Mount) -> None:
        spec, now = mount.spec, self._clock()
        due = [
            entry
            for entry in self._entries(spec)
            if entry.look_at <= now and (name, entry.path, entry.recursive) not in self._at_work
        ]
        sampled = [entry for entry in due if entry.sample and not entry.unsure]
        gone = [entry for entry in due if entry not in sampled]
        for start in range(0, len(sampled), KEYS_MAX):
            gone += await self._sample(mount, sampled[start : start + KEYS_MAX])
        for entry in gone:
            await self._look_at_all(mount, entry)
        await self._note(spec, under_way.without_old(self._entries(spec), now))

    async def _sample(self, mount: Mount, entries: Sequence[Entry]) -> list[Entry]:
        """Those of which the sample is no longer under way."""
        look = AskRestore(paths=tuple(e.sample for e in entries), begin=False, limited=False, missing_ok=True)
        answer = await _looked_at(mount, look)
        gone = []
        found = answer.paths or [None] * len(entries)
        for entry, path in zip(entries, found, strict=True):
            if path is not None and not path.under_way:
                gone.append(entry)
            else:
                self._set(mount.spec, under_way.still(self._entries(mount.spec), entry.scope, self._clock()))
        return gone

    async def _look_at_all(self, mount: Mount, entry: Entry) -> None:
        """All that was asked for with this one; it may be the last look at it."""
        look = AskRestore(paths=(entry.path,), recursive=entry.recursive, begin=False, limited=False, missing_ok=True)
        spec, answer = mount.spec, await _looked_at(mount, look)
        if not answer.paths:
            self._set(spec, under_way.still(self._entries(spec), entry.scope, self._clock()))
            return
        await self._note(spec, under_way.told(self._entries(spec), look, answer, self._clock()))
        if (ready := entry.objects - answer.paths[0].under_way) > 0:
            _log.info(
                "%s: %d archived objects are restored and can be read: %r",
                spec.name,
                ready,
                entry.path,
                extra=about(RESTORES),
            )

    def _set(self, spec: MountSpec, entries: Sequence[Entry]) -> None:
        if len(entries) > ENTRIES_MAX:
            _log.warning(
                "%s: more than %d paths are being restored; of the first ones the status tells nothing more",
                spec.name,
                ENTRIES_MAX,
                extra=about(RESTORES),
            )
        self._known[spec.name] = _Known(
            bucket=spec.bucket,
            endpoint_url=spec.endpoint_url,
            prefix=spec.prefix,
            entries=list(entries[-ENTRIES_MAX:]),
        )

    async def _note(self, spec: MountSpec, entries: Sequence[Entry]) -> None:
        """Have it known, now and later. What the disk does not take in time is known now only."""
        if list(entries) == list(self._entries(spec)):
            return
        self._set(spec, entries)
        now = self._clock()
        for name, known in list(self._known.items()):
            known.entries = under_way.without_old(known.entries, now)
            if not known.entries:
                del self._known[name]
        await self._save(_File(mounts=self._known).model_dump_json())

    async def _save(self, text: str) -> None:
        with trio.move_on_after(_WRITE_SECONDS_MAX):
            await trio.to_thread.run_sync(self._write, text, abandon_on_cancel=True, limiter=self._one)

    def _write(self, text: str) -> None:
        try:
            state_file.replace(self._path, text, mode=_FILE_MODE)
        except OSError as error:
            if not self._told_unusable:
                _log.warning(
                    "%s can't be written, so the next supervisor does not know what S3 restores: %s",
                    self._path,
                    error,
                    extra=about(STATE_FILE),
                )
            self._told_unusable = True
        else:
            self._told_unusable = False


async def _ask(mount: Mount, asked: AskRestore) -> RestoreTold:
    engine = mount.engine
    if engine is None:
        raise CannotRestore("its engine has just ended, and S3 was asked for nothing: ask again")
    return await engine.restores.ask(engine.post, asked)


async def _looked_at(mount: Mount, look: AskRestore) -> RestoreTold:
    """What S3 says; of no path, if it can't be asked now."""
    try:
        return await _ask(mount, look)
    except CannotRestore as error:
        _log.debug("%s: what S3 restores could not be looked at: %s", mount.spec.name, error)
        return RestoreTold()


def _read(path: Path) -> dict[str, _Known]:
    """Of an earlier supervisor. What it was asking for when it ended is looked at first."""
    found = state_file.read(path, _File, "what S3 restores is not known")
    known = {} if found is None else found.mounts
    for each in known.values():
        for entry in each.entries:
            entry.look_at = 0.0
    return known
