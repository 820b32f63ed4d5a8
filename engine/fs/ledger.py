"""What a successor must know of this file system, as records: written while things happen, read when it takes over.

The file system calls `Ledger` after each change and before it answers; where the records go (engine/journal.py) is not
its business. `inherit` makes of a dead engine's records what `S3Filesystem` begins with. Pure, but for the append.

What is still in memory only, the bytes of files being written, is not here: a successor knows that they are lost.
Numbers (inodes, handles) are the kernel's and stay what they are. What S3 said of an object is inherited with its ETag
and not believed any longer: the next open or stat asks again, and reads go on with the version that was opened.
"""

import json
import logging
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from engine.facts import about
from engine.fs.inherited import Inherited, InheritedDirectory, InheritedFile, InheritedWriter
from engine.message_ids import ENGINE_UNFIT, NOT_UNDERSTOOD
from engine.namespace.inode import Inode
from engine.namespace.listing import INDEX_BITS, Given, Start
from engine.namespace.packed import checked
from engine.s3.interface import Likeness, ObjectInfo
from engine.write.state import Uploaded

_log = logging.getLogger(__name__)

Record = list[Any]  # one that was read; written as text

_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_MOUNTED: Final = "mounted"
_INODE: Final = "inode"
_PENDING: Final = "pending"
_REMOVED: Final = "removed"
_FORGOT: Final = "forgot"
_OPENED: Final = "opened"
_READING: Final = "reading"
_CLOSED: Final = "closed"
_CLOSED_DIRECTORY: Final = "closedir"
_OPENED_DIRECTORY: Final = "opendir"
_PAGE: Final = "page"
_GIVEN: Final = "given"
_WRITING: Final = "writing"
_PUBLISHING: Final = "publishing"
_WRITTEN: Final = "written"
_FAILED: Final = "failed"
_UPLOAD_ASKED: Final = "upload-asked"
_UPLOAD_SETTLED: Final = "upload-settled"
_UPLOAD: Final = "upload"
_UPLOAD_ENDED: Final = "upload-ended"

_ALGORITHMS: Final = ("", "crc32c", "crc64nvme")
_ENTRIES_MAX: Final = 1 << INDEX_BITS

_OBJECT_KINDS: Final = (int, str, bool, str, bool)

# What can be true of an object and of a time, in bytes and in seconds since the epoch: years of four digits.
_SIZE_MAX: Final = 2**63 - 1
_SECONDS_MAX: Final = 2**37


class Ledger:
    """Writes down what happens. Records are kept until `flush`, so that an answer with a thousand names is one write.

    Args:
        append: takes records, each as JSON; they are safe when it returns. May raise OSError.
        inherited: whose uploads are still to be ended.
    """

    def __init__(
        self,
        append: Callable[[list[str]], None] = lambda _records: None,
        inherited: Inherited | None = None,
    ) -> None:
        self._append = append
        self._records: list[str] = []
        self._told = False  # that records are lost
        self.uploads: Final = {} if inherited is None else dict(inherited.uploads)
        self.asked: Final = {} if inherited is None else dict(inherited.asked)

    def flush(self) -> None:
        """Make all of it safe: to be called before the kernel is answered."""
        if not self._records:
            return
        records, self._records = self._records, []
        try:
            self._append(records)
        except OSError as error:
            # Programs are served all the same; only a successor would not know of this.
            if not self._told:
                _log.error(
                    "what happens can't be written down for a successor now: %s",
                    error.strerror,
                    extra=about(ENGINE_UNFIT),
                )
            self._told = True
        else:
            if self._told:
                _log.info("what happens is written down for a successor again", extra=about(ENGINE_UNFIT))
            self._told = False

    def inode(self, inode: Inode) -> None:
        """The kernel is about to know this inode, or it has come to be in S3."""
        self._records += inode_records(inode)

    def discarded(self, inode: Inode) -> None:
        """A pending inode will never be in S3."""
        self._records.append(_of(_REMOVED, inode.number))

    def forgot(self, number: int) -> None:
        """The kernel holds this inode no more."""
        self._records.append(_of(_FORGOT, number))

    def opened(self, handle: int, number: int, info: ObjectInfo, *, direct: bool) -> None:
        """A file was opened for reading."""
        self._records.append(_opened(handle, number, info, direct))

    def reading(self, handle: int) -> None:
        """What was opened for reading is open for sure, and no descriptor of it was closed."""
        self._records.append(_of(_READING, handle))

    def writing(self, handle: int, number: int, key: str, process: int) -> None:
        """A file was opened for writing."""
        self._records.append(_text([_WRITING, handle, number, key, process]))

    def publishing(self, handle: int, likeness: Likeness) -> None:
        """S3 is about to be asked to make what was written an object. Safe when this returns."""
        self._records.append(_publishing(handle, likeness))
        self.flush()

    def written(self, handle: int, uploaded: Uploaded) -> None:
        """What was written is the object."""
        self._records.append(_text([_WRITTEN, handle, uploaded.size, uploaded.etag]))

    def failed(self, handle: int) -> None:
        """What was written was given up, and a program was told."""
        self._records.append(_of(_FAILED, handle))

    def lost(self, inherited: Inherited) -> None:
        """The successor has told the log of what was being written, and taken its names away."""
        moved = inherited.moved.writers
        lost = (handle for handle, writer in inherited.writers.items() if writer.lost and handle not in moved)
        self._records += [_of(_FAILED, handle) for handle in lost]
        self._records += [_of(_REMOVED, number) for number in inherited.gone - inherited.removed]

    def upload_asked(self, key: str) -> None:
        """S3 is about to be asked to begin a multipart upload."""
        self.asked[key] = time.time()
        self._records.append(_text([_UPLOAD_ASKED, key, self.asked[key]]))
        self.flush()

    def upload_refused(self, key: str) -> None:
        """S3 has not begun it."""
        if self.asked.pop(key, None) is not None:
            self._records.append(_text([_UPLOAD_SETTLED, key]))
            self.flush()

    def upload_begun(self, upload_id: str, key: str) -> None:
        """It has this id; nothing was sent to it yet."""
        self.asked.pop(key, None)
        self.uploads[upload_id] = key
        self._records.append(_text([_UPLOAD, upload_id, key]))
        self.flush()

    def upload_looked_for(self, key: str) -> None:
        """One that was asked for by an engine before is found, or not there."""
        self.upload_refused(key)

    def upload_ended(self, upload_id: str) -> None:
        """S3 says that the multipart upload is complete, aborted or not there."""
        if self.uploads.pop(upload_id, None) is not None:
            self._records.append(_text([_UPLOAD_ENDED, upload_id]))
            self.flush()

    def opened_directory(self, handle: int, number: int) -> None:
        """A directory was opened, or is read from its beginning again."""
        self._records.append(_text([_OPENED_DIRECTORY, handle, number]))

    def page(self, handle: int, index: int, start: Start) -> None:
        """The next page of an open directory can be asked for."""
        self._records.append(_page(handle, index, start))

    def given(self, handle: int, given: Given) -> None:
        """The kernel has got entries of an open directory."""
        self._records.append(_text([_GIVEN, handle, *given]))

    def closed_directory(self, handle: int) -> None:
        """A directory was closed. Files have numbers of their own, which may be the same."""
        self._records.append(_of(_CLOSED_DIRECTORY, handle))

    def closed(self, handle: int) -> None:
        """A file was closed."""
        self._records.append(_of(_CLOSED, handle))


def inode_records(inode: Inode, *, named: bool = True) -> list[str]:
    """All there is to know of an inode. `named`: its location still is this inode."""
    records = [_inode(inode.number, inode.location, inode.packed)]
    if inode.pending:
        records.append(_of(_PENDING, inode.number))
    if not named:
        records.append(_of(_REMOVED, inode.number))
    return records


def snapshot(inherited: Inherited) -> Iterator[str]:
    """The records from which `inherit` makes this again."""
    if inherited.mounted is not None:
        yield _text([_MOUNTED, inherited.mounted])
    for number, (location, packed) in inherited.inodes.items():
        yield _inode(number, location, packed)
    for number in inherited.pending:
        yield _of(_PENDING, number)
    for number in inherited.removed:
        yield _of(_REMOVED, number)
    for handle, file in inherited.files.items():
        yield _opened(handle, file.number, file.info, file.direct)
    for handle, writer in inherited.writers.items():
        yield from _writer(handle, writer)
    for handle, directory in inherited.directories.items():
        yield _text([_OPENED_DIRECTORY, handle, directory.number])
        for index, start in enumerate(directory.pages[1:], 1):
            yield _page(handle, index, start)
        if directory.given is not None:
            yield _text([_GIVEN, handle, *directory.given])
    for upload_id, key in inherited.uploads.items():
        yield _text([_UPLOAD, upload_id, key])
    for key, when in inherited.asked.items():
        yield _text([_UPLOAD_ASKED, key, when])


def parsed(records: Iterable[str]) -> Iterator[Record]:
    """Records of this process as if they had been read from a journal."""
    return map(json.loads, records)


def inherit(records: Iterable[Record]) -> Inherited:
    """What is left when all of this has happened. A record that can't be understood is as if it had never been."""
    inherited = Inherited()
    inodes, pending = inherited.inodes, inherited.pending
    strange = 0
    for record in records:
        try:
            # Nearly all are these, so here, and without patterns: those take three times as long.
            if record[0] == _INODE:
                _, number, location, found = record
                if type(number) is not int or type(location) is not str:
                    raise ValueError(record)
                inodes[number] = (location, None if found is None else checked(a2b_base64(found)))
                pending.discard(number)
            else:
                _apply(inherited, record)
        except KeyError:
            pass  # of a handle that the snapshot tells of later: the log was begun anew meanwhile
        except (ValueError, TypeError, OverflowError):
            strange += 1
    if strange:
        _log.warning(
            "%d records of the engine before are not understood, and left out", strange, extra=about(NOT_UNDERSTOOD)
        )
    return inherited


def _apply(inherited: Inherited, record: Record) -> None:
    match record:
        case [str(kind), int(number)] if kind == _PENDING:
            inherited.pending.add(number)
        case [str(kind), int(number)] if kind == _REMOVED:
            inherited.pending.discard(number)
            inherited.removed.add(number)
        case [str(kind), int(number)] if kind == _FORGOT:
            inherited.inodes.pop(number, None)
            inherited.pending.discard(number)
            inherited.removed.discard(number)
        case [str(kind), int(handle)] if kind == _CLOSED:
            inherited.files.pop(handle, None)
            inherited.writers.pop(handle, None)
        case [str(kind), int(handle)] if kind == _CLOSED_DIRECTORY:
            inherited.directories.pop(handle, None)
        case [str(kind), int() | float() as mounted] if kind == _MOUNTED and 0 < mounted <= _SECONDS_MAX:
            inherited.mounted = mounted
        case [str(kind), str(upload_id), str(key)] if kind == _UPLOAD:
            inherited.uploads[upload_id] = key
            inherited.asked.pop(key, None)
        case [str(kind), str(key), int() | float() as when] if kind == _UPLOAD_ASKED and 0 < when <= _SECONDS_MAX:
            inherited.asked[key] = when
        case [str(kind), str(key)] if kind == _UPLOAD_SETTLED:
            inherited.asked.pop(key, None)
        case [str(kind), str(upload_id)] if kind == _UPLOAD_ENDED:
            inherited.uploads.pop(upload_id, None)
        case _:
            _apply_opened(inherited, record)


def _apply_opened(inherited: Inherited, record: Record) -> None:
    """What concerns an open file or directory."""
    match record:
        case [str(kind), int(handle), int(number), str(key), list(found), bool(direct)] if kind == _OPENED:
            inherited.files[handle] = InheritedFile(number, _pending(key, found), direct)
        case [str(kind), int(handle), str(key), list(found), bool(direct)] if kind == _OPENED:  # of older engines
            inherited.files[handle] = InheritedFile(0, _pending(key, found), direct)
        case [str(kind), int(handle)] if kind == _READING:
            inherited.files[handle] = replace(inherited.files[handle], active=True)
        case [str(kind), int(handle), int(number)] if kind == _OPENED_DIRECTORY:
            inherited.directories[handle] = InheritedDirectory(number)
        case [str(kind), int(handle), int(index), token, list(pending)] if kind == _PAGE:
            pages = inherited.directories[handle].pages
            del pages[max(1, index) :]
            pages.append((token, tuple(_pending(key, found) for key, found in pending)))
        case [str(kind), int(handle), int(page), int(entries), str(name)] if (
            kind == _GIVEN and 0 <= entries < _ENTRIES_MAX
        ):
            inherited.directories[handle].given = Given(page, entries, name)
        case [str(kind), int(handle), int(number), str(key), int(process)] if kind == _WRITING:
            inherited.writers[handle] = InheritedWriter(number, key, process)
        case [str(kind), int(handle), int(size), str(etag), str() | None as checksum, str(algorithm)] if (
            kind == _PUBLISHING
        ):
            if algorithm not in _ALGORITHMS:
                raise ValueError(record)
            inherited.writers[handle].publishing = Likeness(size, etag, checksum, algorithm)  # type: ignore[arg-type]
        case [str(kind), int(handle), int(size), str(etag)] if kind == _WRITTEN:
            writer = inherited.writers[handle]
            writer.uploaded = Uploaded(writer.key, etag, size)
        case [str(kind), int(handle)] if kind == _FAILED:
            inherited.writers[handle].failed = True
        case _:
            raise ValueError(record)


def _writer(handle: int, writer: InheritedWriter) -> Iterator[str]:
    yield _text([_WRITING, handle, writer.number, writer.key, writer.process])
    if writer.publishing is not None:
        yield _publishing(handle, writer.publishing)
    if writer.uploaded is not None:
        yield _text([_WRITTEN, handle, writer.uploaded.size, writer.uploaded.etag])
    if writer.failed:
        yield _of(_FAILED, handle)


def _publishing(handle: int, likeness: Likeness) -> str:
    return _text([_PUBLISHING, handle, likeness.size, likeness.etag, likeness.checksum, likeness.algorithm])


# Records that come with each file that is read are put together by hand: a third of the time.


def _of(kind: str, number: int) -> str:
    """All that is to be said of an inode or a handle."""
    return f'["{kind}",{number}]'


def _inode(number: int, location: str, packed: bytes | None) -> str:
    """What S3 said as the inode keeps it: a hundred thousand of these are read back before programs go on."""
    found = "null" if packed is None else f'"{b2a_base64(packed, newline=False).decode()}"'
    return f'["{_INODE}",{number},{_text(location)},{found}]'


def _opened(handle: int, number: int, info: ObjectInfo, direct: bool) -> str:  # noqa: FBT001 - a record's field
    return f'["{_OPENED}",{handle},{number},{_text(info.key)},{_object(info)},{"true" if direct else "false"}]'


def _page(handle: int, index: int, start: Start) -> str:
    token, pending = start
    told = ",".join(f"[{_text(info.key)},{_object(info)}]" for info in pending)
    return f'["{_PAGE}",{handle},{index},{_text(token)},[{told}]]'


def _object(info: ObjectInfo) -> str:
    """An object without its key, which stands beside it. What most have goes without saying: there are many."""
    etag, when = info.etag, info.last_modified
    plain = len(etag) > 1 and etag[0] == etag[-1] == '"'
    seconds = int(when) if when.is_integer() else _text(when)
    told = f"{info.size},{_text(etag[1:-1] if plain else etag)},{seconds}"
    if plain and info.storage_class == "STANDARD" and not info.restored:
        return f"[{told}]"
    return f"[{told},{_text(plain)},{_text(info.storage_class)},{_text(info.restored)}]"


def _info(key: str, found: list[Any] | None) -> ObjectInfo | None:
    if found is None:
        return None
    size, etag, when, *rest = found
    plain, storage_class, restored = rest or (True, "STANDARD", False)
    kinds = (type(size), type(etag), type(plain), type(storage_class), type(restored))
    if kinds != _OBJECT_KINDS or type(when) not in (int, float):
        raise ValueError(found)
    if not (0 <= size <= _SIZE_MAX and -_SECONDS_MAX <= when <= _SECONDS_MAX):
        raise ValueError(found)
    return ObjectInfo(key, size, f'"{etag}"' if plain else etag, float(when), storage_class, restored)


def _pending(key: str, found: list[Any]) -> ObjectInfo:
    info = _info(key, found)
    if info is None or not isinstance(key, str):
        raise ValueError(found)
    return info
