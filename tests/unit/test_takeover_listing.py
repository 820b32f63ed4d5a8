"""A directory that is being read when its engine is succeeded: every name that stays is given once, whatever goes."""

import itertools

import pytest

from engine.fs.directories import Listed
from tests.unit.test_write_filesystem import ROOT, Mount, run
from tests.unit.test_write_takeover import dying, successor

NAMES = [f"n{number:02}" for number in range(30)]


async def answer(mount: Mount, handle: int, position: int, most: int = 1000) -> list[Listed]:
    """One answer to the kernel, whose buffer has room for so many entries: one too many is drawn."""
    drawn = await mount.fs.readdir(handle, position)
    taken = list(itertools.islice(drawn, most))
    next(drawn, None)
    mount.fs.readdir_given(handle)
    return taken


async def some(mount: Mount, handle: int, count: int, after: Listed | None = None) -> list[Listed]:
    """So many entries; fewer at the end only."""
    found: list[Listed] = []
    while len(found) < count:
        position = found[-1].position if found else after.position if after else 0
        if not (taken := await answer(mount, handle, position, count - len(found))):
            break
        found += taken
    return found


def names(entries: list[Listed]) -> list[str]:
    return [entry.name.decode() for entry in entries][2:]


@pytest.mark.parametrize("page", [1000, 10, 12])
@pytest.mark.parametrize("seen", [5, 9, 10, 11, 17, 30])
@pytest.mark.parametrize("back", [0, 3])
def test_names_that_stay_are_given_once_though_others_were_deleted(page: int, seen: int, back: int) -> None:
    """S12, S112. `back`: a program's buffer was full before the last entries of the last answer."""

    async def test() -> None:
        async with dying(*NAMES) as first:
            first.bucket.page = page
            handle = first.fs.opendir(ROOT)
            given = await some(first, handle, 2 + seen)
            last = await answer(first, handle, given[-1].position, 7)
            given += last[: max(1, len(last) - back)]
            for name in names(given):
                await first.fs.unlink(ROOT, name.encode())
        async with successor(first) as second:
            given += await some(second, handle, 1000, given[-1])
            assert names(given) == NAMES

    run(test)


def test_names_that_come_do_not_move_those_that_stay() -> None:
    async def test() -> None:
        async with dying(*NAMES) as first:
            handle = first.fs.opendir(ROOT)
            given = await some(first, handle, 12)
            for number in range(20):
                first.bucket.put(f"a{number}")
        async with successor(first) as second:
            given += await some(second, handle, 1000, given[-1])
            assert names(given) == NAMES

    run(test)


@pytest.mark.parametrize("name", ["n04-", "n09", "n2x"])
def test_a_directory_that_was_made_here_is_given_once(name: str) -> None:
    """S81: whether it was given already or not."""

    async def test() -> None:
        async with dying(*[each for each in NAMES if each != name]) as first:
            first.bucket.page = 10
            await first.fs.mkdir(ROOT, name.encode())
            handle = first.fs.opendir(ROOT)
            given = await some(first, handle, 9)
        async with successor(first) as second:
            given += await some(second, handle, 1000, given[-1])
            assert sorted(names(given)) == sorted({*NAMES, name})

    run(test)


def test_a_listing_that_begins_anew_begins_at_its_beginning() -> None:
    async def test() -> None:
        async with dying(*NAMES) as first:
            handle = first.fs.opendir(ROOT)
            await some(first, handle, 12)
            first.bucket.put("a")
        async with successor(first) as second:
            assert names(await some(second, handle, 20)) == ["a", *NAMES][:18]
            second.bucket.put("b")
        async with successor(second, 2) as third:
            assert names(await some(third, handle, 1000)) == ["a", "b", *NAMES]

    run(test)
