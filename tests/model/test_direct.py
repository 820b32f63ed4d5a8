"""Random calls and changes behind the mount's back, over S3Filesystem with a bucket in memory, against the model."""

import errno
import logging
import os
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from engine.fs import trees, walks
from engine.spec import MiB
from engine.write.budget import writers_max
from tests.model.kernel import MEMORY_MIB, PART_BYTES, READ_PART_BYTES, Kernel
from tests.model.machine import Configuration, MountMachine, contents, files, likely_places, paths, picks, places
from tests.model.promises import Promised
from tests.model.things import Listing, Node, Reader, Refused, Writer

# Less and more than each lifetime that machine.py and the file system have.
_SECONDS: Final = st.sampled_from([0.05, 0.2, 1.1, 3.1, 5.1, 10.5])


class DirectMachine(MountMachine):
    """Over the file system itself: time, inode numbers and counters are in the test's hand."""

    mount: Kernel

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[int, Node] = {}

    def begin(self, configuration: Configuration) -> None:
        self.mount = Kernel(configuration.prefix, configuration.rights, configuration.ttl, page=configuration.page)
        self.mount.start()
        writers = writers_max(MEMORY_MIB * MiB, read_part=READ_PART_BYTES, write_part=PART_BYTES)
        self.promised = Promised(
            configuration.prefix, configuration.rights, configuration.ttl, part_bytes=PART_BYTES, writers_max=writers
        )
        self.passed()
        if prefix := configuration.prefix:
            self._put(prefix.removesuffix("/"), b"not below the prefix")
            self._put("a", b"nor is this")

    def passed(self) -> None:
        self.promised.now = self.mount.now
        while self.mount.disbelieved:  # what is fetched ahead may tell that a version is gone (S24)
            self.promised.disbelieve(self.mount.disbelieved.pop())
        while self.mount.listed_ahead:
            self.promised.listed_ahead(*self.mount.listed_ahead.pop(0))

    def _read(self, file: Reader | Writer, opened: Any, offset: int, size: int) -> None:
        super()._read(file, opened, offset, size)
        self.settle()  # what it has fetched ahead is there
        self.passed()

    def settle(self) -> None:
        self.mount.wait(0.0)

    @rule(seconds=_SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.mount.wait(seconds)
        self.passed()

    # What is believed, and for how long: something changes, time passes, somebody looks.

    @rule(path=files, content=contents, seconds=_SECONDS, flags=st.sampled_from([os.O_RDONLY, os.O_DIRECT]))
    def look_again_after_a_change(self, path: str, content: str, seconds: float, flags: int) -> None:
        self.stat(path)
        self.somebody_puts(path, content)
        self.time_passes(seconds)
        self.open(path, flags)
        self.stat(path)

    @rule(path=paths, seconds=_SECONDS)
    def look_again_after_emptying_a_directory(self, path: str, seconds: float) -> None:
        self.mkdir(path)
        self.write_a_file(path + "/a", b"w")
        self.unlink(path + "/a")
        self.time_passes(seconds)
        self.stat(path)

    @rule(path=paths, seconds=_SECONDS)
    def look_into_a_new_directory_that_others_use(self, path: str, seconds: float) -> None:
        self.mkdir(path)
        self.write_a_file(path + "/a", b"w")
        self.unlink(path + "/a")
        self._put(self.promised.key(path + "/a"), b"theirs")
        self.time_passes(seconds)
        self.stat(path + "/a")

    # What is fetched ahead of whoever reads a directory's files one after the other.

    @rule(
        path=st.one_of(st.just(""), places),
        names=st.sampled_from([("a", "a-"), ("a", "a-", "b"), ("a", "b")]),
        pick=picks,
        content=st.one_of(st.none(), contents),
    )
    def read_all_files_while_one_changes(
        self, path: str, names: tuple[str, ...], pick: int, content: str | None
    ) -> None:
        children = [f"{path}/{name}" if path else name for name in names]
        for child in children:
            self.somebody_puts(child, "yy")
        self.list_directory(path)
        self.list_directory(path)
        for index, child in enumerate(children):
            if (opened := self._opened(child, os.O_RDONLY)) is not None:
                self._read(*opened, 0, 4096)
                self._close(*opened)
            if index == 0 and content is None:
                self._delete(self.promised.key(self._picked(children, pick)))
            elif index == 0 and content is not None:
                self.somebody_puts(self._picked(children, pick), content)

    @rule()
    def the_kernel_forgets(self) -> None:
        opened = [*self.files, *self.directories]
        nodes = {thing.node for thing, _ in opened}
        for node in list(nodes):
            above = node.path.split("/")[:-1]
            found = (self.promised.known.get("/".join(above[: count + 1])) for count in range(len(above)))
            nodes |= {one for one in found if one is not None}
        self.promised.forget(nodes)
        self.mount.forget([thing for _, thing in opened])

    # Directories that stay open. Names that come or go meanwhile may be listed or not; those that stay are, once.

    @precondition(lambda self: self.configuration.thorough)
    @rule(path=st.one_of(st.just(""), paths))
    def opendir(self, path: str) -> None:
        def opened() -> Listing:
            node = self.promised.walk(path)
            if not node.directory:
                raise Refused(errno.ENOTDIR)
            return Listing(node)

        found = self._both(opened, lambda: self.mount.opendir(path), lambda *_: None)
        if found is not None:
            self.directories.append(found)

    @precondition(lambda self: self.configuration.thorough)
    @rule(path=st.one_of(st.just(""), likely_places), name=st.sampled_from(["a", "b", "z"]))
    def rewind_when_somebody_put_a_file(self, path: str, name: str) -> None:
        count = len(self.directories)
        self.opendir(path)
        if len(self.directories) > count:
            self.readdir(count, None)
            self._put(self.promised.key(f"{path}/{name}" if path else name), b"x")
            self.rewinddir(count)
            self.readdir(count, None)

    @precondition(lambda self: self.directories)
    @rule(pick=picks, count=st.sampled_from([1, 2, None]))
    def readdir(self, pick: int, count: int | None) -> None:
        listing, opened = self._picked(self.directories, pick)
        self.promised.read_some(listing)
        listing.got += self.mount.readdir(opened, count)
        self.passed()
        assert len(set(listing.got)) == len(listing.got), f"a name twice in {listing.got}"
        assert set(listing.got) <= listing.ever
        if count is None:
            assert listing.always is not None
            assert listing.always <= set(listing.got)

    @precondition(lambda self: self.directories)
    @rule(pick=picks)
    def rewinddir(self, pick: int) -> None:
        listing, opened = self._picked(self.directories, pick)
        listing.always = None
        self.mount.rewinddir(opened)

    @precondition(lambda self: self.directories)
    @rule(pick=picks)
    def closedir(self, pick: int) -> None:
        listing, opened = self._picked(self.directories, pick)
        self.directories.remove((listing, opened))
        self.mount.closedir(opened)
        self.passed()

    def check_bucket(self) -> None:
        memory = self.mount.bucket.memory
        assert set(memory.keys) == set(self.promised.bucket)
        for key, version in self.promised.bucket.items():
            stored = memory.stored(key)
            assert stored.data == version.data
            assert ("-" in stored.info.etag) is bool(version.parts)
        in_parts = [writer for writer in self.promised.writers if len(writer.data) > PART_BYTES and not writer.over]
        assert len(memory.uploads) <= len(in_parts)

    def check_gauges(self) -> None:
        stats = self.mount.stats
        assert stats.open_files == len(self.files)
        assert stats.open_directories == len(self.directories)
        assert stats.uploads == sum(not writer.over for writer in self.promised.writers)

    def check_number(self, node: Node, number: int) -> None:
        if node.number is None:
            assert number not in self.numbers, f"inode {number} was {self.numbers[number].shown} before"
            node.number = number
            self.numbers[number] = node
        assert node.number == number, f"the inode of {node.path} has another number"

    def teardown(self) -> None:
        if not hasattr(self, "mount"):
            return
        try:
            while self.files:
                self.close(0)
            while self.directories:
                self.closedir(0)
            self.check_bucket()
            self.check_gauges()
            self.tree()
            self.the_kernel_forgets()
            self.mount.wait(30.0)
            self.mount.wait(30.0)  # what was fetched ahead and never opened is given up when it was idle for a while
            pending = sum(node.pending for node in self.promised.known.values())
            assert self.mount.stats.inodes == 1 + pending
            assert self.mount.bucket.memory.uploads == []
            assert self.mount.arena.in_use == 0
        finally:
            self.mount.stop()


@pytest.fixture(autouse=True)
def _reading_is_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """With so few names, files and directories are fetched ahead from the first on."""
    monkeypatch.setattr(walks, "STEPS_MIN", 1)
    monkeypatch.setattr(trees, "STEPS_MIN", 1)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of warnings of hidden keys, kept for a failure, would hide its steps."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


QUICK = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=1000, stateful_step_count=60, derandomize=False)


def test_random_calls_and_changes_do_what_is_promised() -> None:
    run_state_machine_as_test(DirectMachine, settings=QUICK)


@pytest.mark.slow
def test_many_random_calls_and_changes_do_what_is_promised() -> None:
    run_state_machine_as_test(DirectMachine, settings=LONG)
