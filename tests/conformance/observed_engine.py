"""`python -m tests.conformance.observed_engine JSON DIR`: an engine that tells its counters when asked.

Started by observed.py, which says in JSON (`Order`) what to serve: a bucket of a server, with fewer attempts than
usual; some objects in memory; or a bucket of any size that exists as a rule only. At SIGUSR1 it prints its counters.
"""

import json
import signal
import sys
from dataclasses import dataclass, field
from typing import Any

import trio

from engine import log
from engine.__main__ import serve
from engine.link import Access
from engine.namespace import crowd
from engine.s3 import hedging
from engine.s3.client import HttpClient
from engine.s3.interface import ObjectClient
from engine.s3.memory import MemoryClient
from engine.spec import MountSpec
from engine.stats import EngineStats
from tests.conformance.synthetic import SyntheticClient


@dataclass
class Order:
    """What to serve: the first of `access`, `keys` and `shape` that is given.

    Args:
        options: MountSpec's, but for the mountpoint.
        access: how a server's bucket is reached: an Access as JSON.
        attempts: how often a request is tried, the first time included.
        keys: of objects in memory; each has its key as its content.
        shape: directories and files in each, of a bucket that is a rule.
        names_bytes_max: memory for names, if another than usual.
    """

    options: dict[str, Any] = field(default_factory=dict)
    access: str | None = None
    attempts: int = 3
    keys: list[str] | None = None
    shape: tuple[int, int] | None = None
    names_bytes_max: int = crowd.NAMES_BYTES_MAX


def main(order_json: str, directory: str) -> int:
    """Serve as ordered. Returns the exit code."""
    order = Order(**json.loads(order_json))
    log.set_up("observed", level="debug")
    crowd.NAMES_BYTES_MAX = order.names_bytes_max  # type: ignore[misc]
    hedging.HEDGES_SAVED_MAX = 0.0  # type: ignore[misc]  # requests are counted, and a busy machine's pauses are no lag
    stats = EngineStats()
    spec = MountSpec.model_validate_json(json.dumps({"name": "observed", **order.options, "mountpoint": directory}))
    return trio.run(_run, spec, _client(order, stats), stats)


def _client(order: Order, stats: EngineStats) -> ObjectClient:
    if order.access is not None:
        return HttpClient(Access.model_validate_json(order.access), stats=stats, attempts_max=order.attempts)
    if order.keys is not None:
        memory = MemoryClient(stats)
        for key in order.keys:
            memory.put(key, key.encode())
        return memory
    assert order.shape is not None
    return SyntheticClient(*order.shape, stats=stats)


async def _run(spec: MountSpec, client: ObjectClient, stats: EngineStats) -> int:
    with trio.open_signal_receiver(signal.SIGUSR1) as asked:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell, asked, stats)
            code = await serve(spec, client, stats)
            nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await client.aclose()
    return code


async def _tell(asked: Any, stats: EngineStats) -> None:
    async for _ in asked:
        print(stats.snapshot().model_dump_json(), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
