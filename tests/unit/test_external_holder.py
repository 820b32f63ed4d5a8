"""mountctl/supervisor/external_holder.py with a real holder: what counts as kept, and that all of it is in the end."""

import math
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
import trio

from mountctl.csi.holder_process import HolderProcess
from mountctl.supervisor import external_holder
from mountctl.supervisor.external_holder import ExternalFdStore
from mountctl.supervisor.fdstore import HolderState
from tests.service.running import WAIT_SECONDS_MAX, poll_until


@pytest.fixture
def process(tmp_path: Path) -> Iterator[HolderProcess]:
    it = HolderProcess(tmp_path, WAIT_SECONDS_MAX)
    yield it
    it._stopping.set()
    if it.alive():
        os.kill(pid(it), signal.SIGKILL)  # nobody comes for what a test has left in it
    it.stop()


def pid(process: HolderProcess) -> int:
    assert process._process is not None
    return process._process.pid


def stdin(process: HolderProcess) -> IO[bytes]:
    assert process._process is not None
    assert process._process.stdin is not None
    return process._process.stdin


def run(store: ExternalFdStore, test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                await test()
                nursery.cancel_scope.cancel()

    trio.run(main)


def taken(directory: Path) -> dict[str, dict[str, int]]:
    """What the next supervisor finds."""

    async def take() -> dict[str, dict[str, int]]:
        store = ExternalFdStore(directory, 1.0)
        found = await store.take()
        store._let_go()
        for mount, fds in found.items():
            store.drop(mount, tuple(fds))
        return found

    return trio.run(take)


async def until(store: ExternalFdStore, state: HolderState) -> None:
    await store._changes.until(lambda: store.holder is state)


def test_what_is_kept_counts_when_the_holder_has_said_so_and_as_long_as_it_is_there(
    tmp_path: Path, process: HolderProcess
) -> None:
    store, (fd, other) = ExternalFdStore(tmp_path, 1.0), os.pipe()

    async def test() -> None:
        assert not store.keep("m", {"fuse": fd, "journal": fd})
        assert not store.keeps("m", ("fuse", "journal"))
        process.start()
        await until(store, HolderState.PRESENT)
        assert store.keeps("m", ("fuse", "journal"))
        store.drop("m", ("journal",))
        assert not store.keep("m", {"fuse": other})
        assert not store.keeps("m", ("fuse",))
        await until(store, HolderState.PRESENT)
        assert store.keeps("m", ("fuse",))
        os.kill(pid(process), signal.SIGKILL)
        await until(store, HolderState.ABSENT)
        assert not store.keeps("m", ("fuse",))
        await until(store, HolderState.PRESENT)

    run(store, test)
    found = taken(tmp_path)
    assert {kind: os.fstat(kept).st_ino for kind, kept in found["m"].items()} == {"fuse": os.fstat(other).st_ino}
    for each in (fd, other, *found["m"].values()):
        os.close(each)


def test_what_somebody_else_has_left_in_the_holder_is_dropped(tmp_path: Path, process: HolderProcess) -> None:
    process.start()
    before, store, (fd, other) = ExternalFdStore(tmp_path, 1.0), ExternalFdStore(tmp_path, 1.0), os.pipe()
    before.keep("old", {"fuse": other})
    store.keep("m", {"fuse": fd})

    async def test() -> None:
        await until(store, HolderState.PRESENT)

    trio.run(before.settle)
    run(store, test)
    found = taken(tmp_path)
    assert found.keys() == {"m"}
    for each in (fd, other, found["m"]["fuse"]):
        os.close(each)


def test_a_holder_that_has_too_many_files_open_is_asked_again_until_it_takes_them(
    tmp_path: Path, process: HolderProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(external_holder, "PING_SECONDS", 0.05)
    process.start()
    store, (fd, other) = ExternalFdStore(tmp_path, 1.0), os.pipe()
    before = resource.prlimit(pid(process), resource.RLIMIT_NOFILE)

    async def test() -> None:
        await until(store, HolderState.PRESENT)
        resource.prlimit(pid(process), resource.RLIMIT_NOFILE, (3, before[1]))
        store.keep("m", {"fuse": fd})
        while "could not take m.fuse" not in caplog.text:
            await store._changes.after(store._changes.count)
        assert store.holder is HolderState.FILLING
        resource.prlimit(pid(process), resource.RLIMIT_NOFILE, before)
        await until(store, HolderState.PRESENT)
        assert store.keeps("m", ("fuse",))

    run(store, test)
    os.close(fd)
    os.close(other)


def test_the_end_of_a_supervisor_knows_what_stays_from_then_on(tmp_path: Path, process: HolderProcess) -> None:
    process.start()
    store, (fd, other) = ExternalFdStore(tmp_path, 60.0), os.pipe()
    store.keep("m", {"fuse": fd})

    async def test() -> None:
        assert await store.leaves()

    run(store, test)
    assert store.keeps("m", ("fuse",)), "whether the holder is connected or not"
    store.keep("m", {"bequest-0-0": other})
    trio.run(store.settle)
    found = taken(tmp_path)
    assert found["m"].keys() == {"fuse", "bequest-0-0"}
    for each in (fd, other, *found["m"].values()):
        os.close(each)


def test_the_end_of_a_supervisor_that_has_nothing_mounted_waits_for_no_holder(tmp_path: Path) -> None:
    store, (fd, other) = ExternalFdStore(tmp_path, math.inf), os.pipe()

    async def test() -> None:
        store.keep("m", {"fuse": fd})
        store.drop("m", ("fuse",))  # nobody could be told
        assert not await store.leaves()

    run(store, test)
    os.close(fd)
    os.close(other)


def test_a_holder_that_is_to_end_does_not_rely_on_a_supervisor_that_leaves(
    tmp_path: Path, process: HolderProcess
) -> None:
    process.start()
    store, (fd, other) = ExternalFdStore(tmp_path, math.inf), os.pipe()
    found: dict[str, dict[str, int]] = {}

    async def test() -> None:
        await until(store, HolderState.PRESENT)
        store.keep("m", {"fuse": fd})
        assert await store.leaves()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, process.stop)
            await trio.to_thread.run_sync(poll_until, lambda: stdin(process).closed, "it to be told to end")
            after = ExternalFdStore(tmp_path, math.inf)
            found.update(await after.take())
            after._let_go()

    run(store, test)
    assert found.keys() == {"m"}
    for each in (fd, other, *found["m"].values()):
        os.close(each)


def test_a_supervisor_that_leaves_does_not_rely_on_a_holder_that_ends(tmp_path: Path, process: HolderProcess) -> None:
    process.start()
    store, (fd, other) = ExternalFdStore(tmp_path, math.inf), os.pipe()
    found: dict[str, dict[str, int]] = {}
    was_found = trio.Event()

    async def test() -> None:
        store.keep("m", {"fuse": fd})
        await until(store, HolderState.PRESENT)
        await trio.to_thread.run_sync(process.stop)  # it has ended, which the supervisor has not heard yet
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave, store)
            await until(store, HolderState.ABSENT)
            another = HolderProcess(tmp_path, 0.0)
            another.start()
            await was_found.wait()
            await trio.to_thread.run_sync(another.stop)

    async def _leave(it: ExternalFdStore) -> None:
        assert await it.leaves()
        after = ExternalFdStore(tmp_path, math.inf)
        found.update(await after.take())
        after._let_go()
        was_found.set()

    run(store, test)
    assert found.keys() == {"m"}
    for each in (fd, other, *found["m"].values()):
        os.close(each)


def test_without_a_holder_nothing_stays_and_nothing_hangs(tmp_path: Path) -> None:
    store, (fd, other) = ExternalFdStore(tmp_path, 0.0), os.pipe()
    assert trio.run(store.take) == {}
    store.keep("m", {"fuse": fd})
    assert not trio.run(store.leaves)
    trio.run(store.settle)
    os.close(fd)
    os.close(other)
