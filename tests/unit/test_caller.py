"""Which process closes a file: threads to processes, and what is said where pyfuse3 does not show it."""

import os
import threading

import pytest
import trio

from engine.fuse import caller


def test_a_thread_belongs_to_its_process_and_others_are_unknown() -> None:
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(caller.process_of(threading.get_native_id())))
    thread.start()
    thread.join()
    assert found == [os.getpid()]
    assert caller.process_of(os.getpid()) == os.getpid()
    assert caller.process_of(0) is None, "the kernel's word for a process of another namespace"
    assert caller.process_of(2**22 + 1) is None, "above all numbers there can be"


def test_the_process_of_a_thread_is_remembered_and_after_a_while_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def ask(thread: int) -> int | None:
        asked.append(thread)
        return None if thread == 9 else 7

    monkeypatch.setattr(caller, "_asked_process_of", ask)
    monkeypatch.setattr(caller, "_processes", {})
    monkeypatch.setattr(caller, "PROCESS_KEPT_SECONDS", 3600.0)
    assert [caller.process_of(8), caller.process_of(8)] == [7, 7]
    assert asked == [8]
    assert [caller.process_of(9), caller.process_of(9)] == [None, None]
    assert asked == [8, 9, 9], "one that was not there may come"
    monkeypatch.setattr(caller, "PROCESS_KEPT_SECONDS", 0.0)
    assert [caller.process_of(10), caller.process_of(10)] == [7, 7]
    assert asked == [8, 9, 9, 10, 10]


def test_processes_of_a_few_threads_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "_asked_process_of", lambda thread: thread)
    monkeypatch.setattr(caller, "_processes", {})
    for thread in range(1, 3 * caller.THREADS_KEPT):
        assert caller.process_of(thread) == thread
        assert len(caller._processes) <= caller.THREADS_KEPT


def test_outside_of_a_request_nothing_is_found_and_that_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caller._tell_once.cache_clear()

    async def test() -> None:
        for _ in range(2):
            assert await caller.flushing_thread(7) is None

    trio.run(test)
    assert caplog.text.count("does not show who closes a file") == 1
    caller._tell_once.cache_clear()


def test_an_object_that_is_not_what_we_know_is_left_alone() -> None:
    library = caller._LIBFUSE
    assert library is not None
    holder = bytearray(caller._HANDLE_BYTES)
    assert caller._thread_of(holder, 2**63, 144, library) is None


def test_that_a_program_is_not_visible_is_told_once_and_not_as_a_fault_of_pyfuse3(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller._tell_of_namespace_once.cache_clear()
    monkeypatch.setattr(caller, "_find", lambda _coroutine, _handle: 0)

    async def test() -> None:
        for _ in range(2):
            assert await caller.flushing_thread(7) is None

    trio.run(test)
    assert caplog.text.count("hostPID") == 1
    assert "pyfuse3" not in caplog.text
    caller._tell_of_namespace_once.cache_clear()
