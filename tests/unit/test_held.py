"""mountctl/supervisor/held.py with a real holder process: what is kept is never without somebody who keeps it."""

import os
import signal
from pathlib import Path

import pytest
import trio

from mountctl.supervisor import held
from mountctl.supervisor.held import HeldFdStore


def test_a_holder_that_hangs_keeps_what_it_has_until_another_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("PING_SECONDS", "ANSWER_SECONDS_MAX", "RESTART_SECONDS"):
        monkeypatch.setattr(held, limit, 0.05)
    store, started = HeldFdStore(tmp_path), trio.Event()
    start = store._start
    kept_by_the_old: list[bool] = []

    async def main() -> None:
        assert await store.take() == {}
        old = store._process
        assert old is not None

        def start_another() -> None:
            kept_by_the_old.append(old.poll() is None)
            for limit in ("PING_SECONDS", "ANSWER_SECONDS_MAX"):
                monkeypatch.setattr(held, limit, 30.0)  # this one is to live
            start()
            started.set()

        monkeypatch.setattr(store, "_start", start_another)
        ended = os.pidfd_open(old.pid)
        reader, writer = os.pipe()
        store.keep("m", {"fuse": writer})
        os.kill(old.pid, signal.SIGSTOP)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                await started.wait()
                await trio.lowlevel.wait_readable(ended)
                nursery.cancel_scope.cancel()
            next_store = HeldFdStore(tmp_path)
            found = await next_store.take()
        assert os.fstat(found["m"]["fuse"]).st_ino == os.fstat(writer).st_ino
        assert kept_by_the_old == [True]
        await next_store.finish()
        await store.finish()
        for fd in (reader, writer, ended, found["m"]["fuse"]):
            os.close(fd)

    trio.run(main)
