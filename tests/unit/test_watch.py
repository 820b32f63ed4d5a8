"""The configuration is seen to change, however it is changed; and nothing else is taken for a change."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from mountctl.config.watch import NOTIFIED, Watcher, directories, fingerprint

# Generous: two busy cores, and seconds until it is looked at anyway.
SECONDS_MAX: Final = 30.0


class Seen:
    """What a watcher's reloads found in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: list[str] = []
        self.at_work = 0

    async def changed(self) -> None:
        self.at_work += 1
        assert self.at_work == 1, "reloads overlap"
        self.contents.append(self.path.read_text() if self.path.exists() else "(gone)")
        await trio.sleep(0.01)
        self.at_work -= 1

    async def until(self, look: Callable[[], bool]) -> None:
        with trio.fail_after(SECONDS_MAX):
            while not look():  # noqa: ASYNC110 - files are looked at
                await trio.sleep(0.01)


def watched(path: Path, body: Callable[[Seen], Awaitable[None]], others: tuple[Path, ...] = ()) -> Seen:
    """Run the body while the file is watched."""
    seen, watcher = Seen(path), Watcher(path, lambda: others)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run, seen.changed)
            await seen.until(lambda: watcher.manner == NOTIFIED)
            await body(seen)
            nursery.cancel_scope.cancel()

    trio.run(main)
    return seen


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch is known to be one when it is looked at for the first time: not for seconds in each test."""
    monkeypatch.setattr("mountctl.config.watch.POLL_SECONDS", 0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "etc" / "m.toml"
    file.parent.mkdir()
    file.write_text("before")
    return file


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def renamed_over(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def as_an_editor(path: Path, text: str) -> None:
    path.rename(path.with_name(path.name + "~"))
    path.write_text(text)


@pytest.mark.parametrize("way", [in_place, renamed_over, as_an_editor])
def test_a_file_that_is_changed_again_and_again_is_reloaded_each_time(
    path: Path, way: Callable[[Path, str], None]
) -> None:
    async def body(seen: Seen) -> None:
        for text in ("one", "two", "three"):
            way(path, text)
            await seen.until(lambda text=text: seen.contents[-1:] == [text])  # type: ignore[misc]

    watched(path, body)


def test_a_link_that_leads_elsewhere_is_a_change_wherever_on_the_way_it_is(tmp_path: Path) -> None:
    """A ConfigMap: the file is a link into ..data, which is a link to a directory of the moment."""
    mounted = tmp_path / "mounted"
    for number in (1, 2, 3):
        (tmp_path / "mounted" / f"..{number}").mkdir(parents=True)
        (mounted / f"..{number}" / "m.toml").write_text(str(number))
    (mounted / "..data").symlink_to("..1")
    (mounted / "m.toml").symlink_to("..data/m.toml")
    path = tmp_path / "etc" / "m.toml"
    path.parent.mkdir()
    path.symlink_to(mounted / "m.toml")

    async def body(seen: Seen) -> None:
        for number in (2, 3):
            (mounted / "..new").symlink_to(f"..{number}")
            (mounted / "..new").rename(mounted / "..data")
            await seen.until(lambda number=number: seen.contents[-1:] == [str(number)])  # type: ignore[misc]
        (mounted / "..3" / "m.toml").write_text("in place")
        await seen.until(lambda: seen.contents[-1:] == ["in place"])
        (tmp_path / "other").write_text("other")
        path.unlink()
        path.symlink_to(tmp_path / "other")
        await seen.until(lambda: seen.contents[-1:] == ["other"])

    watched(path, body)


def test_drop_ins_count_and_their_directory_may_come_later(path: Path) -> None:
    drop_in = path.parent / "m.d" / "a.toml"

    async def body(seen: Seen) -> None:
        for change in (
            lambda: (drop_in.parent.mkdir(), drop_in.write_text("x")),
            lambda: drop_in.write_text("y"),
            drop_in.unlink,
        ):
            count = len(seen.contents)
            change()  # type: ignore[operator]
            await seen.until(lambda count=count: len(seen.contents) > count)  # type: ignore[misc]

    watched(path, body)


def test_what_it_refers_to_counts(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "value"
    secret.parent.mkdir()
    secret.write_text("x")

    async def body(seen: Seen) -> None:
        secret.write_text("y")
        await seen.until(lambda: len(seen.contents) == 1)

    watched(path, body, (secret,))


def test_what_it_refers_to_since_a_reload_counts_at_once(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "etc" / "value"
    secret.write_text("x")
    others: list[Path] = []

    async def body(seen: Seen, watcher: Watcher) -> None:
        async def changed() -> None:
            await seen.changed()
            others[:] = [secret]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run, changed)
            await seen.until(lambda: watcher.manner == NOTIFIED)
            renamed_over(path, "after")
            await seen.until(lambda: bool(others))
            await seen.until(lambda: secret in watcher._seen.others)
            secret.write_text("y")
            await seen.until(lambda: len(seen.contents) == 2)
            nursery.cancel_scope.cancel()

    trio.run(body, Seen(path), Watcher(path, lambda: others))


def test_other_files_and_the_same_content_are_no_change(path: Path) -> None:
    async def body(seen: Seen) -> None:
        (path.parent / "other").write_text("x")
        os.utime(path)
        renamed_over(path, "before")
        renamed_over(path, "after")
        await seen.until(lambda: bool(seen.contents))

    assert watched(path, body).contents == ["after"]


def test_what_changed_before_the_watch_began_is_a_change(path: Path) -> None:
    seen, watcher = Seen(path), Watcher(path)
    path.write_text("after")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run, seen.changed)
            await seen.until(lambda: seen.contents == ["after"])
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_storm_of_edits_is_few_reloads_and_ends_in_the_last_state(path: Path) -> None:
    async def body(seen: Seen) -> None:
        for number in range(100):
            renamed_over(path, str(number))
            await trio.sleep(0.002)
        await seen.until(lambda: seen.contents[-1:] == ["99"])

    assert len(watched(path, body).contents) < 50


def test_a_directory_that_goes_and_comes_again_is_watched_on(path: Path) -> None:
    async def body(seen: Seen) -> None:
        path.parent.rename(path.parent.with_name("old"))
        await seen.until(lambda: seen.contents == ["(gone)"])
        path.parent.mkdir()
        path.write_text("back")  # noqa: ASYNC240
        await seen.until(lambda: seen.contents[-1:] == ["back"])

    watched(path, body)


def test_a_fifo_in_the_files_place_holds_up_nobody(path: Path) -> None:
    before = fingerprint(path)
    path.unlink()
    os.mkfifo(path)

    assert before.differs(fingerprint(path))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert tmp_path in directories(tmp_path / "a")


_WITHOUT_INOTIFY: Final = """
import logging, sys
from pathlib import Path
import trio
from mountctl.config.watch import Watcher
logging.basicConfig(format="%(message)s")
Path("/proc/sys/user/max_inotify_instances").write_text("0")
path = Path(sys.argv[1])
watcher = Watcher(path)

async def changed():
    print(path.read_text(), watcher.manner)
    scope.cancel()

async def told():
    while watcher.manner is None:
        await trio.sleep(0.01)
    path.write_text("after")

async def main():
    global scope
    with trio.fail_after(30), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run, changed)
            nursery.start_soon(told)

trio.run(main)
"""


def test_where_the_kernel_has_no_watches_left_it_is_looked_at_now_and_then_and_said(path: Path) -> None:
    # In a user namespace of its own, which has limits of its own.
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", _WITHOUT_INOTIFY, path],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "after polling\n"), done.stderr
    assert "the kernel tells no changes (" in done.stderr
    assert "looking every 2 s" in done.stderr
