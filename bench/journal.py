"""`python -m bench.journal`: what the journal costs, in CPU time (others may use the machine), as ratios of one run.

100,000 names: the journal's size, the time until a successor has taken them over, the longest stall while it is begun
anew; then lookups and reads answered by the file system with and without a journal, each in turn, best of several
rounds: there nothing else costs anything. bench/journalling.py has what programs pay.
"""

import gc
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator

import trio

from bench.journalled_engine import Silent
from engine import journal
from engine.assembly import serving
from engine.errors import EngineError
from engine.fs.filesystem import S3Filesystem
from engine.fs.ledger import Ledger, inode_records
from engine.namespace.inodes import InodeTable
from engine.s3.interface import ObjectInfo
from engine.s3.memory import MemoryClient
from engine.spec import MountSpec
from engine.stats import EngineStats

NAMES = 100_000
ROUNDS = 7
SMALL_FILES = 2000
MiB = 1024 * 1024

_SPEC = MountSpec(name="m", bucket="bench", mountpoint="/mnt", read_only=True, metadata_ttl=60)


class _Data:
    """An open file that costs nothing, so that what the journal costs shows at its most."""

    async def read(self, offset: int, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"x"

    def close(self) -> None:
        """Nothing."""


class _Opener:
    def open(self, key: str, etag: str, size: int) -> _Data:
        return _Data()

    def open_ahead(self, key: str, etag: str, size: int, failed: Callable[[EngineError], None]) -> None:
        """Nothing is fetched."""


def _alive(table: InodeTable) -> Iterator[list[str]]:
    for number in table.numbers():
        if inode := table.find(number):
            yield inode_records(inode)


def _info(number: int) -> ObjectInfo:
    return ObjectInfo(f"datasets/part-{number:06}.parquet", number, f'"{number:032x}"', 1.7e9 + number)


def names() -> None:
    fd = journal.create()
    ledger = Ledger(lambda records: written.append(records))  # noqa: PLW0108 - the journal is not there yet
    table = InodeTable("", generation=0, stats=EngineStats(), made=ledger.inode, forgotten=ledger.forgot)

    written = journal.Journal(os.dup(fd), lambda: _alive(table))
    times: list[float] = []

    def flush() -> None:
        began = time.process_time()
        ledger.flush()
        times.append(time.process_time() - began)

    for number in range(NAMES):
        table.link(_info(number).key, _info(number), 0.0)
        if number % 100 == 0:
            flush()
    flush()
    for number in range(2, NAMES // 2):
        table.forget(number, 1)
        flush()
    for number in range(NAMES):
        table.link(_info(number).key, _info(number), 0.0)
        flush()
    times.sort()
    began = time.process_time()
    written.compact()
    whole = time.process_time() - began
    size = written.size
    print(f"journal of {len(table):,} inodes: {size / MiB:.1f} MiB ({size / len(table):.0f} bytes each)")
    print(
        f"written at once it takes {whole * 1e3:.0f} ms; little by little no batch took longer than "
        f"{times[-1] * 1e3:.1f} ms (99.9 %: {times[-len(times) // 1000] * 1e3:.2f} ms)"
    )


def replayed() -> None:
    fd = journal.create()
    ledger = Ledger(lambda records: written.append(records))  # noqa: PLW0108 - the journal is not there yet
    source = InodeTable("", generation=0, stats=EngineStats(), made=ledger.inode)
    written = journal.Journal(os.dup(fd), lambda: _alive(source))
    for number in range(NAMES):
        source.link(_info(number).key, _info(number), 0.0)
        if number % 1000 == 0:
            ledger.flush()
    ledger.flush()
    gc.freeze()  # as the zygote does, which engines are forked from
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as engines:
        times = sorted(engines.starmap(trio.run, [(_taken_over, fd)] * ROUNDS, chunksize=1))
    both = sorted(user + system for user, system in times)
    print(
        f"{len(source):,} inodes taken over by a successor: median {statistics.median(both) * 1e3:.0f} ms, "
        f"{both[0] * 1e3:.0f} to {both[-1] * 1e3:.0f}; in the kernel, for new pages of memory, "
        f"{statistics.median(system for _, system in times) * 1e3:.0f} of them"
    )


async def _taken_over(fd: int) -> tuple[float, float]:
    """CPU seconds from a journal to a file system that would serve, with all that an engine does meanwhile: the
    program's own, and the kernel's. A virtual machine may pay tens of times the usual for each page that it gets.
    """
    stats = EngineStats()
    began = resource.getrusage(resource.RUSAGE_SELF)
    async with serving(MemoryClient(), _SPEC, stats, generation=1, journal_fd=os.dup(fd)):
        ended = resource.getrusage(resource.RUSAGE_SELF)
    assert stats.inodes == NAMES + 1
    return ended.ru_utime - began.ru_utime, ended.ru_stime - began.ru_stime


def _filesystem(client: MemoryClient, *, with_journal: bool) -> S3Filesystem:
    ledger = Ledger(lambda records: written.append(records)) if with_journal else Silent()  # noqa: PLW0108 - as above
    made = S3Filesystem(_SPEC, client, _Opener(), generation=0, stats=EngineStats(), ledger=ledger)
    written = journal.Journal(journal.create(), made.snapshot)
    return made


async def _small_files(fs: S3Filesystem) -> None:
    """What the engine does for `cat` of many files: LOOKUP, OPEN, READ, FLUSH, RELEASE, FORGET."""
    for number in range(SMALL_FILES):
        found = await fs.lookup(1, f"f{number}".encode())
        fs.ledger.flush()
        opened = await fs.open(found.number, os.O_RDONLY)
        fs.ledger.flush()
        await fs.read(opened.handle, 0, 1)
        await fs.flush(opened.handle)
        fs.release(opened.handle)
        fs.ledger.flush()
        fs.forget([(found.number, 1)])
        fs.ledger.flush()


async def _sequential(fs: S3Filesystem) -> None:
    found = await fs.lookup(1, b"f0")
    opened = await fs.open(found.number, os.O_RDONLY)
    for offset in range(SMALL_FILES * 5):
        await fs.read(opened.handle, offset, 1)
        fs.ledger.flush()
    fs.release(opened.handle)


def throughput(what: str, work: Callable[[S3Filesystem], object]) -> None:
    client = MemoryClient()
    for number in range(SMALL_FILES):
        client.put(f"f{number}", b"x")
    best = {True: float("inf"), False: float("inf")}
    for _ in range(ROUNDS):
        for with_journal in (True, False):
            fs = _filesystem(client, with_journal=with_journal)
            began = time.process_time()
            trio.run(work, fs)
            best[with_journal] = min(best[with_journal], time.process_time() - began)
    each = (best[True] - best[False]) / SMALL_FILES * 1e6
    print(f"{what}: journal on / off = {best[True] / best[False]:.3f} ({each:+.1f} us for each of {SMALL_FILES})")


if __name__ == "__main__":
    names()
    replayed()
    throughput("small files, without kernel and network", _small_files)
    throughput("reads of one file, without kernel and network", _sequential)
