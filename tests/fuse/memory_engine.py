"""`python -m tests.fuse.memory_engine COUNT DIR`: an engine that serves a bucket in its own memory.

Started by MountedMemory. Names are believed for a minute, so that what is counted does not depend on how busy the
machine is.
"""

import sys

import trio

from engine import log
from engine.__main__ import serve
from engine.s3.memory import MemoryClient
from engine.spec import MountSpec
from engine.stats import EngineStats


def main(count: int, directory: str) -> int:
    stats = EngineStats()
    client = MemoryClient(stats)
    for number in range(count):
        client.put(f"many/{number:05}", b"x")
    log.set_up("memory")
    spec = MountSpec(name="memory", bucket="memory", mountpoint=directory, metadata_ttl=60)
    return trio.run(serve, spec, client, stats)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
