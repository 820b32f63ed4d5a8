"""Directories in which programs make files are listed, so that names need not be asked for one by one (S122)."""

import pytest
import trio

from engine.errors import NameTaken, NotFound, OutOfOrderWrite, S3Error
from engine.namespace import whole
from engine.namespace.whole import WholeDirectories
from tests.unit.bucket import HEAD, LIST, PUT
from tests.unit.test_write_filesystem import ROOT, Mount, fails, mount, run


async def make(made: Mount, *names: str, parent: int = ROOT) -> None:
    """Files, as the kernel makes them: a lookup that finds nothing, and MKNOD."""
    for name in names:
        await fails(NotFound, made.number(name, parent))
        await made.written(name, parent=parent)
        await trio.testing.wait_all_tasks_blocked()


async def about_to_list(made: Mount) -> int:
    """A directory in which a file was made: when the next one, `b`, is, it is listed."""
    directory = await made.number("d")
    await make(made, "a", parent=directory)
    await fails(NotFound, made.number("b", directory))
    return directory


def test_after_two_files_the_next_cost_no_lookups_as_long_as_the_listing_is_believed() -> None:
    """S122: so each is one request, and one round trip."""

    async def test() -> None:
        async with mount("d/old", "d/below/x", ahead=True, metadata_ttl=60) as made:
            directory = await made.number("d")
            made.bucket.requests.clear()
            await make(made, "a", parent=directory)
            assert made.bucket.requests == {HEAD: 1, LIST: 1, PUT: 1}
            await make(made, "b", "c", "e", "f", parent=directory)
            assert made.bucket.requests == {HEAD: 2, LIST: 2 + 1, PUT: 5}
            await trio.sleep(60)
            made.bucket.requests.clear()
            await make(made, "g", "h", "i", "j", parent=directory)
            assert made.bucket.requests == {HEAD: 2, LIST: 2 + 1, PUT: 4}

    run(test)


def test_names_that_the_listing_has_are_looked_up() -> None:
    async def test() -> None:
        async with mount("d/old", "d/below/x", ahead=True, metadata_ttl=60) as made:
            directory = await made.number("d")
            await make(made, "a", "b", parent=directory)
            assert await made.number("old", directory)
            assert await made.number("below", directory)
            await fails(NameTaken, made.make("old", directory))

    run(test)


def test_what_another_host_makes_is_seen_when_the_time_of_missing_names_is_over() -> None:
    """S122: as long as S32 lets a single name be missing."""

    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60, negative_metadata_ttl=5) as made:
            directory = await made.number("d")
            await make(made, "a", "b", parent=directory)
            made.bucket.put("d/theirs")
            await fails(NotFound, made.number("theirs", directory))
            assert 0 < made.fs.missing_seconds(directory, b"theirs") <= 5
            await trio.sleep(5)
            assert await made.number("theirs", directory)

    run(test)


@pytest.mark.parametrize("options", [{}, {"metadata_ttl": 60, "negative_metadata_ttl": "minimal"}])
def test_where_missing_names_are_not_believed_nothing_is_listed(options: dict[str, object]) -> None:
    async def test() -> None:
        async with mount("d/old", ahead=True, **options) as made:
            directory = await made.number("d")
            made.bucket.requests.clear()
            await make(made, "a", "b", "c", parent=directory)
            assert made.bucket.requests == {HEAD: 3, LIST: 3, PUT: 3}

    run(test)


def test_what_was_made_here_is_found_when_the_kernel_has_forgotten_it() -> None:
    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60) as made:
            directory = await made.number("d")
            await make(made, "a", "b", parent=directory)
            for name in ("c", "sub"):
                await fails(NotFound, made.number(name, directory))
            number = await made.written("c", parent=directory)
            made.fs.forget([(number, 1)])
            assert await made.number("c", directory)
            inner = (await made.fs.mkdir(directory, b"sub")).number
            await made.written("x", parent=inner)
            made.fs.forget([(inner, 1)])
            assert await made.number("sub", directory)

    run(test)


def test_the_name_of_a_file_that_was_being_written_and_given_up_is_looked_up() -> None:
    """S122: it was made in the directory, so whether there is another one by its name is asked."""

    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60) as made:
            directory = await made.number("d")
            await fails(NotFound, made.number("a", directory))
            _number, handle = await made.create("a", parent=directory)
            await make(made, "b", parent=directory)
            await fails(OutOfOrderWrite, made.fs.write(handle, 1, b"x"))
            made.bucket.put("d/a")
            assert await made.number("a", directory)
            await made.fs.close(handle)

    run(test)


def test_a_file_that_comes_to_be_in_s3_while_its_directory_is_listed_is_known() -> None:
    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60) as made:
            directory = await about_to_list(made)
            answer = made.bucket.answers[LIST] = trio.Event()  # S3 has listed, and its answer takes a while
            number = await made.written("b", parent=directory)
            made.fs.forget([(number, 1)])
            answer.set()
            del made.bucket.answers[LIST]
            await trio.testing.wait_all_tasks_blocked()
            assert await made.number("b", directory)

    run(test)


def test_a_lookup_waits_for_the_listing_that_is_under_way_and_asks_nothing() -> None:
    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60) as made:
            directory = await about_to_list(made)
            gate = made.bucket.gates[LIST] = trio.Event()
            await made.make("b", directory)
            made.bucket.requests.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails, NotFound, made.number("c", directory))
                await trio.testing.wait_all_tasks_blocked()
                gate.set()
            assert made.bucket.requests == {LIST: 1}

    run(test)


def test_a_listing_that_takes_long_holds_up_no_lookup() -> None:
    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60) as made:
            directory = await about_to_list(made)
            gate = made.bucket.gates[LIST] = trio.Event()
            await made.make("b", directory)
            await trio.testing.wait_all_tasks_blocked()
            del made.bucket.gates[LIST]
            assert await made.number("old", directory)
            gate.set()

    run(test)


def test_a_listing_that_fails_changes_nothing() -> None:
    async def test() -> None:
        async with mount("d/old", ahead=True, metadata_ttl=60) as made:
            directory = await about_to_list(made)
            made.bucket.failures[LIST] = S3Error("no", code="Nope", status=400)
            await made.written("b", parent=directory)
            await trio.testing.wait_all_tasks_blocked()
            del made.bucket.failures[LIST]
            made.bucket.put("d/theirs")
            assert await made.number("theirs", directory)

    run(test)


def test_a_directory_of_more_pages_than_files_were_made_is_tried_again_at_twice_as_many() -> None:
    async def test() -> None:
        async with mount(*(f"d/{number}" for number in range(6)), ahead=True, page=3, metadata_ttl=60) as made:
            directory = await made.number("d")
            made.bucket.requests.clear()
            await make(made, "a", "b", parent=directory)
            assert made.bucket.requests[LIST] == 2 + 2  # of three pages that it has
            made.bucket.put("d/theirs")
            assert await made.number("theirs", directory), "what was listed in part tells nothing"
            made.bucket.requests.clear()
            await make(made, "c", "e", parent=directory)
            assert made.bucket.requests == {HEAD: 2, LIST: 2 + 4, PUT: 2}
            await make(made, "f", parent=directory)
            assert made.bucket.requests == {HEAD: 2, LIST: 2 + 4, PUT: 3}

    run(test)


def test_no_more_names_and_directories_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "DIRECTORIES_MAX", 2)
    monkeypatch.setattr(whole, "NAMES_MAX", 4)
    known = WholeDirectories()
    for prefix in ("a/", "b/", "c/"):
        known.begin(prefix)
        assert known.add(prefix, ["x"])
        known.end(prefix, 10.0)
    assert [known.until(f"{prefix}/y", 0.0) for prefix in "abc"] == [None, 10.0, 10.0]
    assert known.until("c/x", 0.0) is None
    assert known.until("c/y", 10.0) is None
    known.found("c/y")
    known.found("c/z")
    assert known.until("b/y", 0.0) == 10.0
    known.found("c/w")
    assert known.until("b/y", 0.0) is None, "the older one has made room"
    assert known.until("c/v", 0.0) == 10.0
    known.begin("d/")
    assert not known.add("d/", ["1", "2", "3", "4", "5"])
    assert not known.add("e/", ["x"])
