"""mountctl/supervisor/log_levels.py: levels that an operator has given to mounts."""

import trio
import trio.testing

from engine.spec import MountSpec
from mountctl.supervisor.log_levels import LogLevels

DATA = MountSpec(name="data", bucket="bucket", mountpoint="/mnt/data", debug=True)
OTHER = MountSpec(name="other", bucket="bucket", mountpoint="/mnt/other")


def test_a_level_counts_for_its_mount_until_it_is_taken_back() -> None:
    levels = LogLevels()
    assert (levels.of(DATA), levels.of(OTHER)) == ("debug", "info")
    levels.give("data", "error")
    assert (levels.of(DATA), levels.of(OTHER)) == ("error", "info")
    levels.take_back("data")
    assert levels.of(DATA) == "debug"


def test_that_of_all_mounts_gives_way_to_that_of_one_and_both_end_with_a_reload() -> None:
    levels = LogLevels()
    levels.everywhere = "debug"
    levels.give("data", "warning")
    assert (levels.of(DATA), levels.of(OTHER)) == ("warning", "debug")
    assert levels.end()
    assert (levels.of(DATA), levels.of(OTHER)) == ("debug", "info")
    assert not levels.end()


def test_a_level_ends_with_its_time_and_a_later_one_is_not_cut_short() -> None:
    async def test() -> None:
        levels = LogLevels(trio.current_time)
        over: list[tuple[str, int]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(levels.run, lambda name: over.append((name, round(trio.current_time() - began))))
            began = trio.current_time()
            levels.give("data", "error", 10.0)
            levels.give("other", "error", 100.0)
            await trio.sleep(5)
            levels.give("other", "error", 30.0)
            await trio.sleep(4)
            assert (levels.of(DATA), levels.of(OTHER)) == ("error", "error")
            await trio.sleep(2)
            assert (levels.of(DATA), levels.of(OTHER)) == ("debug", "error")
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
        assert over == [("data", 10), ("other", 35)]

    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))
