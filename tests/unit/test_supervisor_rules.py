"""The supervisor's pure parts: state table, backoff, tally, INIT bytes."""

import itertools
import struct

import pytest

from engine.counted import Stats
from mountctl.supervisor import backoff, fuse_init, tally
from mountctl.supervisor.state import SETTLED, TRANSITIONS, MountEvent, MountState, next_state


def test_every_state_but_the_last_two_can_be_stopped() -> None:
    stoppable = {state for state, event in TRANSITIONS if event is MountEvent.STOP}

    assert stoppable == set(MountState) - {MountState.DRAINING, MountState.STOPPED}


def test_every_state_can_be_reached_from_starting() -> None:
    reached = {MountState.STARTING}
    while more := {to for (state, _), to in TRANSITIONS.items() if state in reached} - reached:
        reached |= more

    assert reached == set(MountState)


def test_an_engine_lost_while_mounted_leads_to_recovering_and_back_to_ready() -> None:
    state = next_state(MountState.READY, MountEvent.ENGINE_LOST)

    assert state is MountState.RECOVERING
    assert state not in SETTLED
    assert next_state(state, MountEvent.ENGINE_READY) is MountState.READY


def test_an_impossible_event_is_an_error() -> None:
    with pytest.raises(KeyError):
        next_state(MountState.STOPPED, MountEvent.ENGINE_READY)


def test_backoff_doubles_to_its_bound_and_starts_over_after_a_healthy_time() -> None:
    waits = backoff.Backoff()
    delays = [waits.next_delay() for _ in range(12)]

    assert delays[0] <= backoff.FIRST_SECONDS * (1 + backoff.JITTER)
    assert all(later > earlier for earlier, later in itertools.pairwise(delays[:6]))
    assert delays[-1] <= backoff.LONGEST_SECONDS * (1 + backoff.JITTER)
    waits.served(backoff.HEALTHY_AFTER_SECONDS)
    assert waits.next_delay() <= backoff.FIRST_SECONDS * (1 + backoff.JITTER)


def test_counters_of_engines_add_up_and_gauges_are_those_of_the_last() -> None:
    first = Stats(
        bytes_read=10,
        s3_requests={"GetObject": 2},
        s3_latencies={"GetObject": {"0.1": 2}},
        open_files=3,
        uploads=2,
    )
    second = Stats(
        bytes_read=5,
        s3_requests={"GetObject": 1, "HeadObject": 1},
        s3_latencies={"GetObject": {"0.1": 1, "0.5": 1}},
        open_files=1,
    )

    total = tally.add(tally.without_gauges(first), second)

    assert (total.bytes_read, total.s3_requests) == (15, {"GetObject": 3, "HeadObject": 1})
    assert total.s3_latencies == {"GetObject": {"0.1": 3, "0.5": 1}}
    assert (total.open_files, total.uploads) == (1, 0)


def test_what_a_mount_has_counted_goes_on_over_all_its_engines() -> None:
    counted = tally.Tally()
    assert counted.total == Stats()
    counted.heard(Stats(bytes_read=3, open_files=2))
    counted.heard(Stats(bytes_read=10, open_files=1))
    assert counted.total == Stats(bytes_read=10, open_files=1)

    counted.is_gone()

    assert (counted.now, counted.total) == (Stats(), Stats(bytes_read=10))
    counted.heard(Stats(bytes_read=5, s3_requests={"GetObject": 1}))
    assert counted.total == Stats(bytes_read=15, s3_requests={"GetObject": 1})
    counted.is_gone()
    assert counted.total.bytes_read == 15


def _init_request(flags: int, flags2: int, *, opcode: int = 26, major: int = 7) -> bytes:
    body = struct.pack("<IIIII44x", major, 41, 131072, flags, flags2)
    return struct.pack("<IIQQIIIHH", 40 + len(body), opcode, 2, 0, 0, 0, 0, 0, 0) + body


def test_init_reply_has_only_flags_that_the_kernel_offered() -> None:
    offered = fuse_init.InitFlag.ASYNC_READ | fuse_init.InitFlag.MAX_PAGES

    answer = fuse_init.reply(fuse_init.parse(_init_request(int(offered), 0)))

    length, error, unique = struct.unpack_from("<IiQ", answer)
    assert (length, error, unique) == (80, 0, 2)
    assert struct.unpack_from("<I", answer, 16 + 12)[0] == int(offered)


def test_init_reply_sets_the_high_word_only_with_init_ext() -> None:
    ext = int(fuse_init.InitFlag.INIT_EXT)
    resend = int(fuse_init.InitFlag.HAS_RESEND) >> 32

    with_ext = fuse_init.parse(_init_request(ext, resend))
    without = fuse_init.parse(_init_request(0, resend))

    assert with_ext.has_resend
    assert not without.has_resend
    assert struct.unpack_from("<I", fuse_init.reply(with_ext), 16 + 32)[0] == resend


@pytest.mark.parametrize("request_bytes", [b"", b"x" * 20, _init_request(0, 0, opcode=3), _init_request(0, 0, major=8)])
def test_anything_but_an_init_request_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(ValueError, match="FUSE"):
        fuse_init.parse(request_bytes)
