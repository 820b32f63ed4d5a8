"""What is over takes no memory: of ever other keys, files and mounts, as they come and go for months."""

import contextlib
import gc
import os
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import NotPermitted
from engine.s3.memory import MemoryClient
from engine.write.orphans import Orphans
from engine.write.records import NoRecords
from mountctl.supervisor.external_holder import ExternalFdStore
from mountctl.supervisor.fdstore import FdStore, SystemdFdStore
from mountctl.supervisor.held import HeldFdStore
from tests.unit.test_write_filesystem import fails, mount, run

ROUNDS = 500
# Of a round. What a list has to spare, and what the interpreter sees to by itself, is a few bytes; the least that can
# be forgotten, an entry in a dictionary, more than 100.
BYTES_MAX = 20


@contextlib.contextmanager
def leaving_nothing() -> Iterator[None]:
    """So many rounds are done in here, and the same was done once before."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= ROUNDS * BYTES_MAX


def test_of_multipart_uploads_that_were_begun() -> None:
    orphans = Orphans(MemoryClient(), NoRecords())

    def begin(number: int) -> None:
        with orphans.beginning(f"key{number}"):
            orphans.spare(f"upload{number}")
        orphans.over(f"upload{number}")

    begin(0)
    with leaving_nothing():
        for number in range(1, ROUNDS + 1):
            begin(number)


def test_of_files_that_can_not_be_changed() -> None:
    async def test() -> None:
        keys = [f"f{number}" for number in range(ROUNDS + 1)]
        async with mount(*keys, allow_overwrite=True) as made:
            numbers = [await made.number(key) for key in keys]
            await fails(NotPermitted, made.fs.open(numbers.pop(), os.O_WRONLY))
            with leaving_nothing():
                for number in numbers:
                    await fails(NotPermitted, made.fs.open(number, os.O_WRONLY))

    run(test)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Its notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        yield sock


@pytest.mark.parametrize("kind", ["systemd", "held", "external"])
def test_of_mounts_whose_descriptors_were_kept(kind: str, tmp_path: Path, systemd: socket.socket) -> None:
    store: FdStore
    match kind:
        case "systemd":
            store = SystemdFdStore(systemd.getsockname())
        case "held":
            store = HeldFdStore(tmp_path)
        case _:
            store = ExternalFdStore(tmp_path, 0.0)

    def keep(name: str) -> None:
        assert not store.keeps(name, ("fuse",))
        store.keep(name, {"fuse": systemd.fileno()})
        store.drop(name, ("fuse", "journal"))
        if kind == "systemd":
            told = [socket.recv_fds(systemd, 1000, 1) for _ in range(2)]
            for _message, fds, *_ in told:
                for fd in fds:
                    os.close(fd)

    keep("m0")
    with leaving_nothing():
        for number in range(1, ROUNDS + 1):
            keep(f"m{number}")
