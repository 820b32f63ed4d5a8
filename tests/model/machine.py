"""The state machine: random calls of programs and changes of others, on a mount and on the model, compared.

Used by test_direct.py and test_mounted.py, which say what is mounted and how long a run is. It never decides what is
right: that is promises.py's business.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.promises import Promised
from tests.model.things import AnyOf, Listing, Node, Reader, Refused, Rights, Ttl, Writer

# Few names, so that things meet; `a-` sorts between `a` and `a/`.
_NAMES: Final = ("a", "b", "a-")
_PATHS: Final = [*_NAMES, "a", "b", "a/a", "a/b", "a/a-", "b/a", "a/b/a"]

# Contents: more than one GET (so that an open file has not all of it), and few, so that versions come back.
_LARGE: Final = 300_000
_CONTENTS: Final = {"empty": b"", "x": b"x", "yy": b"yy", "many x": b"x" * _LARGE, "many y": b"y" * _LARGE}

_FLAGS: Final = (
    os.O_RDONLY,
    os.O_WRONLY | os.O_CREAT,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    os.O_RDWR | os.O_CREAT,
    os.O_RDWR,
    os.O_RDWR | os.O_TRUNC,
    os.O_WRONLY,
    os.O_WRONLY | os.O_TRUNC,
    os.O_WRONLY | os.O_APPEND,
    os.O_RDONLY | os.O_TRUNC,
    os.O_RDONLY | os.O_DIRECT,
    os.O_WRONLY | os.O_TRUNC | os.O_SYNC,
    os.O_RDWR | os.O_CREAT | os.O_DSYNC,
)

# Markers of directories, one with content, and keys with components that no path has.
_ODD: Final = ("{}/", "{}/", "{}/", "{}/a/", "/", "/x", "{}//x", "{}/./x", "{}/.", "..")

# Any path, but mostly one where something is, or was.
paths: Final = st.sampled_from(_PATHS)
files: Final = st.runner().flatmap(lambda machine: st.sampled_from(machine.paths_with(directory=False) or _PATHS))
places: Final = st.runner().flatmap(lambda machine: st.sampled_from(machine.paths_with(directory=True) or _PATHS))
likely_files: Final = st.one_of(files, files, files, paths)
likely_places: Final = st.one_of(places, places, files, paths)
contents: Final = st.sampled_from(sorted(_CONTENTS))
picks: Final = st.integers(0, 5)


# What a read says of a version that S3 has no more.
_GONE: Final = (Refused(errno.ESTALE), Refused(errno.EIO))


@dataclass(frozen=True)
class Configuration:
    """What a run has. `thorough`: the whole tree is compared after each step, which renews all that is believed."""

    prefix: str
    rights: Rights
    ttl: Ttl
    page: int
    thorough: bool


_ALL: Final = Rights(delete=True, overwrite=True)
rights: Final = st.sampled_from(
    [*[_ALL] * 8, Rights(), Rights(delete=True), Rights(overwrite=True), Rights(read_only=True)]
)
ttls: Final = st.sampled_from([Ttl(), Ttl(), Ttl(5.0, 5.0), Ttl(5.0, None), Ttl(3.0, 20.0), Ttl(None, 5.0)])
configurations: Final = st.builds(
    Configuration,
    prefix=st.sampled_from(["", "p/", "p/q/"]),
    rights=rights,
    ttl=ttls,
    page=st.sampled_from([1000, 1, 2]),
    thorough=st.booleans(),
)


class MountMachine(RuleBasedStateMachine):
    """One mount and its model. Subclasses make the mount."""

    mount: Any
    configuration: Configuration
    promised: Promised

    def __init__(self) -> None:
        super().__init__()
        self.files: list[tuple[Reader | Writer, Any]] = []
        self.directories: list[tuple[Listing, Any]] = []

    def begin(self, configuration: Configuration) -> None:
        """Mount. To be extended."""
        raise NotImplementedError

    def settle(self) -> None:
        """What goes on behind the last call comes to its end. To be extended where nothing goes on by itself."""

    def check_gauges(self) -> None:
        """What the mount holds is what is open. To be extended where that can be seen."""

    @initialize(configuration=configurations, keys=st.lists(st.tuples(paths, contents), max_size=4))
    def start(self, configuration: Configuration, keys: list[tuple[str, str]]) -> None:
        self.configuration = configuration
        self.begin(configuration)
        for path, content in keys:
            self._put(self.promised.key(path), _CONTENTS[content])

    # Names

    @rule(path=likely_places)
    def stat(self, path: str) -> None:
        self._both(lambda: self.promised.stat(path), lambda: self.mount.stat(path), self._same_node)

    @rule(path=st.one_of(st.just(""), likely_places))
    def list_directory(self, path: str) -> None:
        def same(expected: dict[str, Any], got: dict[str, Any]) -> None:
            assert sorted(expected) == sorted(got)
            if self.configuration.page == 1000:
                assert list(got) == sorted(got, key=str.encode), "not sorted"
            for name, node in expected.items():
                self._same_node(node, got[name])

        self._both(lambda: self.promised.listing(path), lambda: self.mount.listing(path), same)

    @rule()
    def tree(self) -> None:
        self._both(self.promised.tree, self.mount.tree)

    @rule(path=paths)
    def mkdir(self, path: str) -> None:
        self._both(lambda: self.promised.mkdir(path), lambda: self.mount.mkdir(path))

    @rule(path=likely_places)
    def rmdir(self, path: str) -> None:
        self._both(lambda: self.promised.rmdir(path), lambda: self.mount.rmdir(path))

    @rule(path=likely_files)
    def unlink(self, path: str) -> None:
        self._both(lambda: self.promised.unlink(path), lambda: self.mount.unlink(path))

    @rule(path=likely_files, what=st.sampled_from(["name", "times", "same mode", "mode", 0, 1, 3]))
    def change(self, path: str, what: str | int) -> None:
        """What S3 has no word for; a number is a size."""
        promised, mount = self.promised, self.mount
        to = path.rpartition("/")[0] + "/renamed" if "/" in path else "renamed"
        if what == "name":
            self._both(lambda: promised.rename(path, to), lambda: mount.rename(path, to))
        elif what == "times":
            self._both(lambda: promised.set_times(path), lambda: mount.set_times(path))
        elif isinstance(what, int):
            self._both(lambda: promised.truncate(path, what), lambda: mount.truncate(path, what))
        else:
            same = what == "same mode"
            self._both(lambda: promised.set_mode(path, same=same), lambda: mount.set_mode(path, same=same))

    # Open files

    @rule(path=likely_files, flags=st.sampled_from(_FLAGS))
    def open(self, path: str, flags: int) -> None:
        if flags & (os.O_SYNC | os.O_DSYNC) and self.configuration.rights.read_only:
            return  # Linux and the file system refuse it each with its own errno
        opened = self._both(
            lambda: self.promised.open(path, flags), lambda: self.mount.open(path, flags), lambda *_: None
        )
        if opened is not None:
            self.files.append(opened)
        if flags & os.O_CREAT:
            self.settle()  # what it lists because files are made there is known (S122)
            self.passed()

    @rule(path=st.one_of(files, paths), data=st.sampled_from([b"", b"w", b"vv"]))
    def write_a_file(self, path: str, data: bytes) -> None:
        """As `echo > path` does it."""
        if (opened := self._opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)) is not None:
            self._write(*opened, data)
            self._close(*opened)

    @rule(path=paths)
    def make_a_directory_with_a_file(self, path: str) -> None:
        self.mkdir(path)
        self.write_a_file(path + "/a", b"w")

    @rule(path=paths)
    def make_a_directory_and_write_in_it(self, path: str) -> None:
        self.mkdir(path)
        self.open(path + "/a", os.O_WRONLY | os.O_CREAT)

    @rule(path=files)
    def open_for_reading(self, path: str) -> None:
        self.open(path, os.O_RDONLY)

    @rule(path=files)
    def open_to_replace(self, path: str) -> None:
        self.open(path, os.O_WRONLY | os.O_TRUNC)

    @rule(path=paths)
    def create(self, path: str) -> None:
        self.open(path, os.O_WRONLY | os.O_CREAT)

    @precondition(lambda self: self.files)
    @rule(pick=picks, data=st.sampled_from([b"w", b"vv"]))
    def write(self, pick: int, data: bytes) -> None:
        self._write(*self._picked(self.files, pick), data)

    @rule(path=st.one_of(files, paths), more=st.integers(0, 1), then=st.sampled_from(["", "a hole", "a child"]))
    def write_a_part(self, path: str, more: int, then: str) -> None:
        """What is more than a part is on its way to S3 before the file is closed."""
        if (opened := self._opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)) is None:
            return
        self._write(*opened, b"P" * (self.promised.part_bytes + more))
        self.settle()
        if then == "a hole":
            self._write(*opened, b"e", by=1)
        elif then == "a child":
            self._close_twin(*opened, by_opener=False)
            self.check_bucket()

    @rule(path=st.one_of(files, paths), data=st.sampled_from([b"", b"w"]))
    def write_while_a_child_ends(self, path: str, data: bytes) -> None:
        if (opened := self._opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)) is not None:
            self._write(*opened, data or b"w")
            self._close_twin(*opened, by_opener=not data)
            self.check_bucket()
            self._write(*opened, b"w")

    @rule(path=files, content=contents, offset=st.sampled_from([1, 262_144, 299_999]))
    def read_while_somebody_replaces(self, path: str, content: str, offset: int) -> None:
        if (opened := self._opened(path, os.O_RDONLY)) is not None:
            self._read(*opened, 0, 1)
            self._put(self.promised.key(path), _CONTENTS[content])
            self._read(*opened, offset, 4096)

    @precondition(lambda self: any(isinstance(file, Writer) for file, _ in self.files))
    @rule(pick=picks, by=st.sampled_from([1, 2, -1]))
    def write_elsewhere(self, pick: int, by: int) -> None:
        writers = [(file, opened) for file, opened in self.files if isinstance(file, Writer)]
        self._write(*self._picked(writers, pick), b"e", by=by)

    @precondition(lambda self: self.files)
    @rule(pick=picks, offset=st.sampled_from([0, 1, 3, 131_000, 262_144, 299_999, 300_000]), size=st.integers(1, 4096))
    def read(self, pick: int, offset: int, size: int) -> None:
        self._read(*self._picked(self.files, pick), offset, size)

    @precondition(lambda self: self.files)
    @rule(pick=picks)
    def fsync(self, pick: int) -> None:
        file, opened = self._picked(self.files, pick)
        self._both(lambda: self.promised.fsync(file), lambda: self.mount.fsync(opened))

    @precondition(lambda self: self.files)
    @rule(pick=picks)
    def fstat(self, pick: int) -> None:
        file, opened = self._picked(self.files, pick)
        self._both(lambda: self.promised.fstat(file), lambda: self.mount.fstat(opened))

    @precondition(lambda self: self.files)
    @rule(pick=picks, by_opener=st.booleans())
    def close_twin(self, pick: int, by_opener: bool) -> None:
        self._close_twin(*self._picked(self.files, pick), by_opener=by_opener)

    @precondition(lambda self: self.files)
    @rule(pick=picks)
    def close(self, pick: int) -> None:
        self._close(*self._picked(self.files, pick))

    # What others do

    @rule(path=st.one_of(files, paths), content=contents)
    def somebody_puts(self, path: str, content: str) -> None:
        self._put(self.promised.key(path), _CONTENTS[content])

    @rule(path=paths, odd=st.sampled_from(_ODD))
    def somebody_puts_an_odd_key(self, path: str, odd: str) -> None:
        key = self.promised.key(odd.format(path))
        if not key.startswith("/"):  # the client refuses such keys, and an S3 over HTTP may not keep them
            self._put(key, b"odd" if odd != "{}/" else b"")

    @precondition(lambda self: self._pending_files())
    @rule(pick=picks, suffix=st.sampled_from(["/a", ""]))
    def somebody_puts_where_a_file_is_written(self, pick: int, suffix: str) -> None:
        self._put(self.promised.key(self._picked(self._pending_files(), pick) + suffix), b"theirs")

    @precondition(lambda self: self.promised.missing)
    @rule(pick=st.integers(0, 20), suffix=st.sampled_from(["", "/a"]))
    def somebody_puts_what_was_missing(self, pick: int, suffix: str) -> None:
        self._put(self.promised.key(self._picked(sorted(self.promised.missing), pick) + suffix), b"new")

    @precondition(lambda self: self.promised.missing)
    @rule(pick=st.integers(0, 20))
    def stat_what_was_missing(self, pick: int) -> None:
        self.stat(self._picked(sorted(self.promised.missing), pick))

    @rule(path=places)
    def somebody_deletes_a_directory(self, path: str) -> None:
        for key in self.promised.keys_below(path):
            self._delete(key)

    @precondition(lambda self: self.promised.bucket)
    @rule(pick=st.integers(0, 20))
    def somebody_deletes(self, pick: int) -> None:
        self._delete(self._picked(sorted(self.promised.bucket), pick))

    @precondition(lambda self: self.files)
    @rule(pick=picks, content=st.one_of(st.none(), contents))
    def somebody_changes_what_is_open(self, pick: int, content: str | None) -> None:
        key = self.promised.key(self._picked(self.files, pick)[0].node.path)
        if content is not None:
            self._put(key, _CONTENTS[content])
        else:
            self._delete(key)

    # How it ends

    @invariant()
    def agree(self) -> None:
        for listing, _opened in self.directories:
            self.promised.changed(listing)
        self.check_bucket()
        self.check_gauges()
        if self.configuration.thorough:
            self.tree()

    def check_bucket(self) -> None:
        """Exactly the objects that there should be. To be extended where it can be seen."""

    def _both(
        self, promised: Callable[[], Any], real: Callable[[], Any], same: Callable[[Any, Any], None] | None = None
    ) -> Any:
        """A call, on both sides; what both have said, unless it was refused or is always the same."""
        expected, got = _outcome(promised), _outcome(real)
        self.passed()
        if isinstance(expected, AnyOf):
            assert any(_equal(got, one) for one in expected), f"expected any of {_short(expected)}, got {_short(got)}"
            return expected, got
        if isinstance(expected, Refused) or isinstance(got, Refused):
            assert expected == got, f"expected {_short(expected)}, got {_short(got)}"
        elif same is not None:
            same(expected, got)
            return expected, got
        else:
            assert expected == got, f"expected {_short(expected)}, got {_short(got)}"
        return None

    def passed(self) -> None:
        """A call was made: time has passed. To be extended."""

    def _same_node(self, node: Any, got: Any) -> None:
        assert node.shown == got[:2]
        if len(got) > 2:
            self.check_number(node, got[2])

    def check_number(self, node: Any, number: int) -> None:
        """S19: an inode is one version. To be extended where numbers can be seen."""

    def _opened(self, path: str, flags: int) -> tuple[Reader | Writer, Any] | None:
        count = len(self.files)
        self.open(path, flags)
        return self.files[-1] if len(self.files) > count else None

    def _read(self, file: Reader | Writer, opened: Any, offset: int, size: int) -> None:
        told = self._both(lambda: self.promised.read(file, offset, size), lambda: self.mount.read(opened, offset, size))
        if told is not None and isinstance(file, Reader) and told[1] in _GONE:
            self.promised.found_out(file)

    def _write(self, file: Reader | Writer, opened: Any, data: bytes, *, by: int = 0) -> None:
        offset = max(0, len(file.data) + by) if isinstance(file, Writer) else 0
        self._both(lambda: self.promised.write(file, offset, data), lambda: self.mount.write(opened, offset, data))

    def _close_twin(self, file: Reader | Writer, opened: Any, *, by_opener: bool) -> None:
        self._both(
            lambda: self.promised.close_twin(file, by_opener=by_opener),
            lambda: self.mount.close_twin(opened, by_opener=by_opener),
        )

    def _close(self, file: Reader | Writer, opened: Any) -> None:
        self.files.remove((file, opened))
        self._both(lambda: self.promised.close_twin(file), lambda: self.mount.close_twin(opened))
        self._both(lambda: self.promised.release(file), lambda: self.mount.release(opened))

    def _put(self, key: str, data: bytes) -> None:
        self.promised.put(key, data)
        self.mount.bucket.put(key, data)

    def _delete(self, key: str) -> None:
        self.promised.delete(key)
        self.mount.bucket.delete(key)

    def paths_with(self, *, directory: bool) -> Sequence[str]:
        """Where files (or directories) are, and where some were not long ago."""
        found = {node.path for node in self.promised.known.values() if node.path and node.directory is directory}
        directories = [""]
        while directories:
            above = directories.pop()
            for name, entry in self.promised.entries(above).items():
                path = f"{above}/{name}" if above else name
                is_directory = entry is None or (isinstance(entry, Node) and entry.directory)
                if is_directory:
                    directories.append(path)
                if is_directory is directory:
                    found.add(path)
        return sorted(found)

    def _pending_files(self) -> Sequence[str]:
        return sorted(node.path for node in self.promised.known.values() if node.pending and not node.directory)

    @staticmethod
    def _picked(things: Sequence[Any], pick: int) -> Any:
        return things[pick % len(things)]


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Refused as error:
        return error


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _short(outcome: Any) -> str:
    text = repr(outcome)
    return text if len(text) < 200 else text[:200] + "..."
