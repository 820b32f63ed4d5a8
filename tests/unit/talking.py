"""Talks of the S3 client with a server that follows a script, in a clock that jumps."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import trio
import trio.testing

from engine.s3.client import HttpClient
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer, Seen

# Loopback delivers at once, so a loop that is idle for this long has nothing more to come.
IDLE_SECONDS: Final = 0.02


def talk(
    script: Sequence[Answer | Callable[[Seen], Answer]],
    question: Callable[[HttpClient], Awaitable[Any]],
    stats: EngineStats | None = None,
    **options: Any,
) -> ScriptedServer:
    """Ask a server that follows the script; returns it, with what it saw."""
    server = ScriptedServer(script)

    async def main() -> None:
        async with server.running():
            client = HttpClient(server.access(), stats=stats or EngineStats(), **options)
            await question(client)
            await client.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))
    return server
