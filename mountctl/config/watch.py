"""Sees that a configuration has changed, however it was changed, and has it reloaded once. Run by daemon.py.

Watches directories and never a file: an editor, `mv`, a symbolic link or a Kubernetes ConfigMap puts another file in
its place. What counts is the content, by its hash; so whatever else happens in those directories is passed by. Never
judges what a file says.
"""

import hashlib
import importlib
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import CONFIG_WATCH
from mountctl.config.read import FILE_BYTES_MAX, Unreadable, drop_in_directory, drop_ins

# Whoever writes in place, or several files, is done when nothing has changed for so long.
QUIET_SECONDS: Final = 0.3
# Who never stops is taken as it is now and then; its last state counts in any case.
STORM_SECONDS: Final = 3.0
# How often the hash is looked at where the kernel tells nothing. A file is read in a millisecond.
POLL_SECONDS: Final = 2.0
# A name that leads through more links than the kernel follows (MAXSYMLINKS) leads nowhere.
_LINKS_MAX: Final = 40

# How changes are heard of, in the words of `status`.
NOTIFIED: Final = "notified"
POLLING: Final = "polling"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fingerprint:
    """What a configuration was at one moment.

    Args:
        own: the hash of names and contents of its file and drop-ins; what can't be read counts, too.
        others: the hash of each file that it refers to.
    """

    own: bytes
    others: dict[Path, bytes]

    def differs(self, now: "Fingerprint") -> bool:
        """Whether there is something to reload. Which files it refers to is its own content."""
        return self.own != now.own or any(
            now.others.get(path, hashed) != hashed for path, hashed in self.others.items()
        )


def fingerprint(path: Path, others: Iterable[Path] = ()) -> Fingerprint:
    """Read a configuration as far as its hash goes."""
    try:
        files = [path, *drop_ins(drop_in_directory(path))]
    except Unreadable as error:
        files = [path, Path(error.reason)]
    own = b"".join(hashlib.sha256(os.fsencode(file)).digest() + _hash(file) for file in files)
    return Fingerprint(hashlib.sha256(own).digest(), {file: _hash(file) for file in others})


def _hash(file: Path) -> bytes:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be a FIFO by mistake
        with os.fdopen(fd, "rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1) or b""
    except OSError as error:
        content = str(error.errno).encode()
    return hashlib.sha256(content).digest()


def directories(path: Path, others: Iterable[Path] = ()) -> set[Path]:
    """Every directory in which a name decides what a configuration is: of files and drop-ins, and of links to them."""
    directory = drop_in_directory(path)
    try:
        files = [path, directory, directory / "any", *drop_ins(directory), *others]
    except Unreadable:
        files = [path, directory, *others]
    found = set()
    for file in files:
        for each in _deciding(file.absolute()):
            existing = each
            while not existing.is_dir():
                existing = existing.parent
            found.add(existing)
    return found


def _deciding(path: Path) -> set[Path]:
    """The directories that have the name itself, and each symbolic link on the way."""
    here, parts, found, links = Path("/"), deque(path.parts[1:]), set(), 0
    while parts:
        part = parts.popleft()
        place = here / part
        if part == "..":
            here = here.parent
        elif links < _LINKS_MAX and place.is_symlink():
            links += 1
            found.add(here)
            try:
                target = place.readlink()
            except OSError:  # it has just gone: whoever watches `here` hears of that
                continue
            parts.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
            here = Path("/") if target.is_absolute() else here
        else:
            if not parts:
                found.add(here)
            here = place
    return found


class Watcher:
    """Watches one configuration.

    Args:
        path: the file.
        others: what it refers to, as it is in force.
    """

    def __init__(self, path: Path, others: Callable[[], Iterable[Path]] = tuple) -> None:
        self._path = path
        self._others = others
        # Taken before it is read for the first time: what changes from then on is a change.
        self._seen = fingerprint(path)
        self.manner: str | None = None  # how changes are heard of; None: not yet

    async def run(self, changed: Callable[[], Awaitable[None]], told: Callable[[], None] = lambda: None) -> None:
        """Call `changed` after each change, once it is quiet, one call at a time. Until cancelled.

        Args:
            changed: reloads.
            told: called when `manner` is another.
        """
        await self._note_others()
        while True:
            watched = await trio.to_thread.run_sync(directories, self._path, tuple(self._others()))
            try:
                await self._hear(watched, changed, told)
            except FileNotFoundError:  # a directory that has just gone; another is watched instead
                await trio.sleep(QUIET_SECONDS)
            except Exception as error:  # noqa: BLE001 - watchfiles raises what the kernel said in classes of several kinds
                self._set_manner(
                    POLLING, told, f"the kernel tells no changes ({error}): looking every {POLL_SECONDS:.0f} s"
                )
                await self._check(changed)
                await trio.sleep(POLL_SECONDS)

    async def _hear(self, watched: set[Path], changed: Callable[[], Awaitable[None]], told: Callable[[], None]) -> None:
        """Until other directories are to be watched, or until they can't be. Raises what watchfiles raises."""
        heard = trio.Event()
        stop = trio.Event()
        failure: list[Exception] = []

        async def listen() -> None:
            # Its thread ends at once when it is told to, and only after seconds when it is cancelled.
            with trio.CancelScope(shield=True):
                try:
                    # In a thread, as it takes a tenth of a second.
                    watchfiles = await trio.to_thread.run_sync(importlib.import_module, "watchfiles")
                    async for _ in watchfiles.awatch(
                        *watched,
                        watch_filter=None,
                        recursive=False,
                        debounce=round(STORM_SECONDS * 1000),
                        step=round(QUIET_SECONDS * 1000),
                        rust_timeout=round(POLL_SECONDS * 1000),
                        yield_on_timeout=True,
                        stop_event=stop,
                    ):
                        heard.set()
                except Exception as error:  # noqa: BLE001 - raised again, where it is understood
                    failure.append(error)
                    heard.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            try:
                while True:
                    await heard.wait()
                    heard = trio.Event()
                    if failure:
                        break
                    self._set_manner(NOTIFIED, told, "changes of the configuration are reloaded by themselves")
                    await self._check(changed)
                    if await trio.to_thread.run_sync(directories, self._path, tuple(self._others())) != watched:
                        break
            finally:
                stop.set()
        if failure:
            raise failure[0]

    async def _check(self, changed: Callable[[], Awaitable[None]]) -> None:
        before, now = self._seen, await trio.to_thread.run_sync(fingerprint, self._path, tuple(self._others()))
        self._seen = now
        if before.differs(now):
            await changed()
            await self._note_others()

    async def _note_others(self) -> None:
        """What it refers to is known when it has been read, and counts from then on."""
        now = await trio.to_thread.run_sync(fingerprint, self._path, tuple(self._others()))
        self._seen = Fingerprint(self._seen.own, now.others | self._seen.others)

    def _set_manner(self, manner: str, told: Callable[[], None], sentence: str) -> None:
        if manner != self.manner:
            self.manner = manner
            _log.log(logging.WARNING if manner == POLLING else logging.INFO, "%s", sentence, extra=about(CONFIG_WATCH))
            told()
