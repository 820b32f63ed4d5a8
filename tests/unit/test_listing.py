"""Directory streams: random buckets against a simple model, at every page size and from every position."""

import itertools
import logging
from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Unreachable
from engine.namespace.hidden import TOLD_MAX, HiddenNames
from engine.namespace.listing import PAGES_KEPT, DirectoryStream
from engine.namespace.merge import Entry, merge
from engine.namespace.names import problem
from engine.s3.interface import ListPage, ObjectInfo
from engine.stats import EngineStats
from tests.unit.bucket import HEAD, LIST, Bucket

# Characters below and above the slash, and what makes components invalid.
KEYS = st.lists(st.text(alphabet="a/-!.0", min_size=1, max_size=6), max_size=25, unique=True)


def run(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test)


def stream(bucket: Bucket, prefix: str = "", stats: EngineStats | None = None) -> DirectoryStream:
    return DirectoryStream(bucket, prefix, HiddenNames(stats or EngineStats()))


async def read_all(directory: DirectoryStream, position: int = 0) -> list[tuple[Entry, int]]:
    """Entries from a position on, each with its own position."""
    found = []
    while (at := await directory.read(position)) is not None:
        page, index = at
        for entry in page.entries[index:]:
            found.append((entry, page.position(index)))
            index += 1
        position = page.position(index)
    return found


async def names(directory: DirectoryStream) -> list[str]:
    return [entry.name + ("/" if entry.info is None else "") for entry, _ in await read_all(directory)]


def model(keys: list[str], prefix: str) -> set[str]:
    """A directory's entries, directories with a slash, by looking at all keys at once."""
    below = [key[len(prefix) :] for key in keys if key.startswith(prefix) and key != prefix]
    directories = {rest.partition("/")[0] for rest in below if "/" in rest}
    files = {rest for rest in below if "/" not in rest} - directories
    return {name + "/" for name in directories if not problem(name)} | {name for name in files if not problem(name)}


@settings(max_examples=300, deadline=None)
@given(KEYS, st.sampled_from(["", "a/", "-/", "a/a/"]), st.integers(1, 5))
def test_a_listing_is_what_the_model_says_whatever_the_pages(keys: list[str], prefix: str, page: int) -> None:
    async def test() -> None:
        found = await names(stream(Bucket(*keys, page=page), prefix))

        assert sorted(found) == sorted(model(keys, prefix)), "nothing twice, nothing missing"

    run(test)


@settings(max_examples=200, deadline=None)
@given(KEYS, st.integers(1, 5), st.data())
def test_reading_goes_on_from_any_position_it_gave(keys: list[str], page: int, data: st.DataObject) -> None:
    async def test() -> None:
        bucket = Bucket(*keys, page=page)
        directory = stream(bucket)
        whole = await read_all(directory)
        for _ in range(3):
            start = data.draw(st.integers(0, len(whole)))
            position = whole[start][1] if start < len(whole) else whole[-1][1] + 1 if whole else 0
            assert await read_all(directory, position) == whole[start:]
            assert await read_all(stream(bucket), position) == whole[start:], "a handle that never listed (NFS)"

    run(test)


@settings(max_examples=100, deadline=None)
@given(KEYS)
def test_a_directory_of_one_page_is_in_name_order(keys: list[str]) -> None:
    async def test() -> None:
        found = [entry.name for entry, _ in await read_all(stream(Bucket(*keys)))]

        assert found == sorted(found)

    run(test)


def test_names_that_sort_between_a_file_and_its_slash_come_in_name_order() -> None:
    async def test() -> None:
        assert await names(stream(Bucket("a-b", "a/x", "a0"))) == ["a/", "a-b", "a0"]
        assert await names(stream(Bucket("a", "a-b", "a0"))) == ["a", "a-b", "a0"]

    run(test)


def test_a_directory_hides_a_file_many_pages_before_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        stats = EngineStats()
        between = [f"a-{number:03}" for number in range(50)]
        bucket = Bucket("a", *between, "a/x", page=7)

        assert sorted(await names(stream(bucket, stats=stats))) == [*between, "a/"]
        assert stats.hidden_names == 1

    with caplog.at_level(logging.WARNING):
        run(test)
    assert "'a' is hidden by the directory" in caplog.text


def test_ten_thousand_entries_cost_ten_lists_and_no_head() -> None:
    async def test() -> None:
        bucket = Bucket(*(f"d/{number:05}" for number in range(10_000)))

        assert len(await names(stream(bucket, "d/"))) == 10_000
        assert bucket.requests == {LIST: 10}
        assert bucket.requests[HEAD] == 0

    run(test)


def test_a_large_directory_keeps_no_more_than_its_last_pages() -> None:
    async def test() -> None:
        bucket = Bucket(*(f"{number:04}" for number in range(1000)), page=10)
        directory = stream(bucket)

        whole = await read_all(directory)
        assert len(directory._kept) == PAGES_KEPT
        before = bucket.requests[LIST]
        assert await read_all(directory, whole[500][1]) == whole[500:]
        assert bucket.requests[LIST] - before == 50, "pages that were given up are listed again"

    run(test)


def test_going_back_within_the_last_answer_asks_nothing() -> None:
    async def test() -> None:
        bucket = Bucket(*(f"{number:02}" for number in range(20)), page=10)
        directory = stream(bucket)
        whole = await read_all(directory)
        before = bucket.requests[LIST]

        for start in (19, 12, 5):
            found = await directory.read(whole[start][1])
            assert found is not None
            assert found[0].entries[found[1]] == whole[start][0]
        assert bucket.requests[LIST] == before

    run(test)


def test_rewinding_shows_what_changed_and_no_rewinding_does_not() -> None:
    async def test() -> None:
        bucket = Bucket("a")
        directory = stream(bucket)
        assert await names(directory) == ["a"]
        bucket.put("b")

        assert await names(directory) == ["a"]
        await directory.rewind()
        assert not directory.started
        assert await names(directory) == ["a", "b"]

    run(test)


def test_a_listing_that_failed_goes_on_where_it_was() -> None:
    async def test() -> None:
        bucket = Bucket("a", "b", "c", page=1)
        directory = stream(bucket)
        found = await directory.read(0)
        assert found is not None
        following = found[0].position(1)
        bucket.failures[LIST] = Unreachable("reset")
        with pytest.raises(Unreachable):
            await read_all(directory, following)
        del bucket.failures[LIST]

        assert [entry.name for entry, _ in await read_all(directory, following)] == ["b", "c"]

    run(test)


def test_two_readers_of_one_handle_ask_for_each_page_once() -> None:
    async def test() -> None:
        bucket = Bucket(*"abcdef", page=2)
        directory = stream(bucket)
        found: list[list[tuple[Entry, int]]] = []

        async def read() -> None:
            found.append(await read_all(directory))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(read)
        assert found[0] == found[1]
        assert len(found[0]) == 6
        assert bucket.requests[LIST] <= 4

    run(test)


def test_keys_without_a_path_are_told_once_a_directory_and_kind_and_all_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        stats = EngineStats()
        hidden = HiddenNames(stats)
        bucket = Bucket("d/.", "d/..", "d//x", "d/../y", "d/ok")
        for _ in range(2):
            assert await names(DirectoryStream(bucket, "d/", hidden)) == ["ok"]
        assert stats.hidden_names == 8

    with caplog.at_level(logging.WARNING):
        run(test)
    assert len(caplog.records) == 2, "one for files, one for directories"


def test_a_marker_is_no_entry_and_only_told_if_it_has_content(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        bucket = Bucket("d/x", "e/x")
        bucket.put("d/", b"")
        bucket.put("e/", b"content")

        assert await names(stream(bucket, "d/")) == ["x"]
        assert not caplog.records
        assert await names(stream(bucket, "e/")) == ["x"]
        assert "7 bytes" in caplog.text

    with caplog.at_level(logging.WARNING):
        run(test)


def test_what_is_remembered_as_told_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    stats = EngineStats()
    hidden = HiddenNames(stats)
    with caplog.at_level(logging.WARNING):
        for number in range(TOLD_MAX + 10):
            hidden.invalid(f"{number}/", f"{number}/.", "is '.'")

    assert len(caplog.records) == TOLD_MAX
    assert stats.hidden_names == TOLD_MAX + 10


@given(KEYS, st.integers(1, 4))
def test_what_a_page_leaves_pending_is_a_chain_of_prefixes(keys: list[str], size: int) -> None:
    listed = sorted({key[: key.index("/") + 1] if "/" in key else key for key in keys})
    pending: tuple[ObjectInfo, ...] = ()
    for page in _batched(listed, size):
        objects = [ObjectInfo(key, 0, '"e"', 0.0) for key in page if not key.endswith("/")]
        prefixes = [key for key in page if key.endswith("/")]
        merged = merge("", pending, ListPage(objects, prefixes, "more"))
        pending = merged.pending
        for shorter, longer in itertools.pairwise(pending):
            assert longer.key.startswith(shorter.key)


def _batched(items: list[str], size: int) -> list[list[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
