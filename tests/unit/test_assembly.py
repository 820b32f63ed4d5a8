"""An engine put together: what it takes over from the one before, and what it lets go of then."""

import gc
import os

import trio

from engine import journal
from engine.assembly import serving
from engine.fs.inherited import Inherited
from engine.fs.ledger import Ledger
from engine.journal import Journal
from engine.namespace.inode import Inode
from engine.s3.memory import MemoryClient
from engine.spec import MountSpec
from engine.stats import EngineStats

SPEC = MountSpec(name="m", bucket="bucket", mountpoint="/mnt")


def test_what_a_successor_has_taken_up_is_there_once() -> None:
    """A second copy of a hundred thousand names would be as large as all that the engine has else."""
    fd = journal.create()
    written = Journal(os.dup(fd), list)
    ledger = Ledger(written.append)
    for number in range(10, 20):
        ledger.inode(Inode(number, f"d{number}", None, 0.0))
    ledger.flush()
    written.close()

    async def test() -> None:
        stats = EngineStats()
        async with serving(MemoryClient(), SPEC, stats, generation=1, journal_fd=fd):
            assert stats.inodes == 1 + 10
            assert not [found for found in gc.get_objects() if isinstance(found, Inherited) and found.inodes]

    trio.run(test)
