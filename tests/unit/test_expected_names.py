"""S3Filesystem without a kernel: names that are expected to be missing, as others were that were made before them."""

import stat
from collections import Counter
from collections.abc import Sequence

import pytest

from engine.errors import AccessDenied, NotFound, Unreachable
from engine.namespace.inode import MADE_MIN
from engine.s3.interface import LIST_ENTRIES_MAX, ListPage
from tests.unit.bucket import HEAD, LIST, PUT
from tests.unit.test_write_filesystem import ROOT, Mount, fails, mount, run

BOTH = Counter({HEAD: 1, LIST: 1})


async def make(made: Mount, *names: str) -> None:
    """Files, as open(2) with O_CREAT makes them."""
    for name in names:
        await fails(NotFound, made.number(name))
        await made.written(name)


def numbered(count: int, letter: str = "n") -> Sequence[str]:
    return [f"{letter}{number:03}" for number in range(count)]


async def cost_of_a_missing_name(made: Mount) -> Counter[str]:
    made.bucket.requests.clear()
    await fails(NotFound, made.number("missing"))
    return made.bucket.requests


def test_after_some_new_files_the_next_ones_are_looked_up_by_one_request() -> None:
    async def test() -> None:
        async with mount() as made:
            await make(made, *numbered(MADE_MIN + 3))
            assert made.bucket.requests == {HEAD: MADE_MIN, LIST: MADE_MIN + 3, PUT: MADE_MIN + 3}

    run(test)


@pytest.mark.parametrize(("key", "kind"), [("next", stat.S_IFREG), ("next/x", stat.S_IFDIR)])
def test_what_is_there_against_expectation_is_found_and_more_is_needed_to_expect_that_again(
    key: str, kind: int
) -> None:
    async def test() -> None:
        async with mount() as made:
            await make(made, *numbered(MADE_MIN))
            made.bucket.put(key, b"theirs")
            found = await made.fs.lookup(ROOT, b"next")
            assert stat.S_IFMT(found.mode) == kind
            assert found.size == (len(b"theirs") if kind == stat.S_IFREG else 0)

            await make(made, *numbered(2 * MADE_MIN - 1, "o"))
            assert await cost_of_a_missing_name(made) == BOTH
            await make(made, "p")
            assert await cost_of_a_missing_name(made) == {LIST: 1}

    run(test)


def test_a_name_that_begins_like_another_is_made_all_the_same() -> None:
    async def test() -> None:
        async with mount("next-one", "next/") as made:
            made.bucket.delete("next/")
            await make(made, *numbered(MADE_MIN), "next")
            assert made.content("next") == b"x"
            assert await made.names() == [*numbered(MADE_MIN), "next", "next-one"]

    run(test)


def test_a_file_that_is_found_ends_the_row() -> None:
    async def test() -> None:
        async with mount("old") as made:
            await make(made, *numbered(MADE_MIN - 1))
            await made.number("old")
            await make(made, "a")
            assert await cost_of_a_missing_name(made) == BOTH

    run(test)


def test_where_only_directories_may_be_listed_names_are_looked_up_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with mount() as made:
            listed = made.bucket.list_objects

            async def list_objects(
                prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = LIST_ENTRIES_MAX
            ) -> ListPage:
                if prefix and not prefix.endswith("/"):
                    raise AccessDenied("not this prefix")
                return await listed(prefix, delimiter=delimiter, token=token, max_keys=max_keys)

            monkeypatch.setattr(made.bucket, "list_objects", list_objects)
            await make(made, *numbered(MADE_MIN + 2))
            assert made.content(numbered(MADE_MIN + 2)[-1]) == b"x"

    run(test)


def test_a_name_that_nobody_can_tell_of_is_an_error_also_where_it_is_expected_to_be_missing() -> None:
    """S43."""

    async def test() -> None:
        async with mount() as made:
            await make(made, *numbered(MADE_MIN))
            made.bucket.failures[LIST] = Unreachable("away")
            await fails(Unreachable, made.number("next"))

    run(test)
