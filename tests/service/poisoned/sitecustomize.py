"""Makes the engines of a supervisor under test vulnerable: looking certain names up crashes, stops or wedges them.

Python imports this module by its name at its start when its directory is in PYTHONPATH (see poison.py). Only the
zygote, from which engines are forked, takes anything from it.
"""

import os
import signal
import sys
from typing import Any


def _poison() -> None:
    import trio

    import engine.run
    from engine.fs.filesystem import S3Filesystem
    from engine.fuse import session

    lookup, serve = S3Filesystem.lookup, session.serve
    wedged = trio.Event()

    async def poisoned_lookup(self: S3Filesystem, parent: Any, name: bytes, *others: Any) -> Any:
        if name == b"poison-crash":
            os.abort()
        if name == b"poison-exit":
            os._exit(9)
        if name == b"poison-stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if name == b"poison-spin":
            while True:
                pass
        if name == b"poison-wedge":
            wedged.set()
            await trio.sleep_forever()
        return await lookup(self, parent, name, *others)

    async def poisoned_serve(max_tasks: int) -> None:
        """Once wedged, no request is read any more, while all else goes on."""
        async with trio.open_nursery() as nursery:

            async def wedge() -> None:
                await wedged.wait()
                serving.cancel()
                await trio.sleep_forever()

            nursery.start_soon(wedge)
            with trio.CancelScope() as serving:
                await serve(max_tasks)
                nursery.cancel_scope.cancel()

    S3Filesystem.lookup = poisoned_lookup  # type: ignore[method-assign]
    session.serve = poisoned_serve
    engine.run.session.serve = poisoned_serve


if "engine.zygote" in sys.orig_argv:
    _poison()
