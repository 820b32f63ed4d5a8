"""`python -m engine s3://BUCKET/PREFIX DIR [--OPTION VALUE ...]`: one engine alone, in the foreground, no supervisor.

For development, benches and bug reports. Options are MountSpec's, as in the configuration file. Mounts by itself,
prints `mounted` when the first request can be made, unmounts at SIGINT or SIGTERM. An unmount from outside ends it too.
`python -m engine -` reads the mount, a MountSpec as JSON, from stdin.
"""

import argparse
import functools
import logging
import os
import signal
import sys
from typing import Any, Final

import pydantic
import trio

from engine import kernel_read_ahead, log
from engine.assembly import serving
from engine.facts import about
from engine.fetch.fetchers import Fetchers
from engine.fetch.number import connections_of_engine
from engine.fetch.spawner import Spawner
from engine.fuse import session
from engine.link import Access
from engine.message_ids import MOUNT_STATE
from engine.preflight import Unmountable, preflight
from engine.s3.access import AccessUnavailable, resolve
from engine.s3.configured import Authorities, CaBundleUnusable, client_for, read_authorities
from engine.s3.interface import ObjectClient
from engine.spec import MountSpec, kebab
from engine.stats import EngineStats

logger = logging.getLogger("engine")

EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3

# Given by the two arguments without a name.
_POSITIONAL: Final = ("name", "bucket", "prefix", "mountpoint")


def main(arguments: list[str]) -> int:
    """Serve until told to end. Returns the exit code: 0, 2 for a wrong command line, 3 if the mount can't be had."""
    try:
        given = arguments == ["-"]
        spec = MountSpec.model_validate_json(sys.stdin.buffer.read()) if given else _spec(arguments)
    except pydantic.ValidationError as error:
        for problem in error.errors():
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return EXIT_USAGE
    log.set_up(spec.name, level=spec.log_level, silent=spec.no_log)
    try:
        access = resolve(spec)
    except AccessUnavailable as error:
        logger.error("%s", error, extra=about(MOUNT_STATE))  # noqa: TRY400 its text is the whole story
        return EXIT_UNAVAILABLE
    authorities = read_authorities(spec)
    return trio.run(_run, spec, access, authorities, Spawner.fork(spec, authorities))


def _spec(arguments: list[str]) -> MountSpec:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Mount a bucket in the foreground.")
    parser.add_argument("source", metavar="s3://BUCKET/PREFIX")
    parser.add_argument("directory", metavar="DIR")
    for name, field in MountSpec.model_fields.items():
        if name not in _POSITIONAL:
            how: dict[str, Any] = {"action": "store_true"} if field.annotation is bool else {"type": _value}
            parser.add_argument("--" + kebab(name), dest=name, default=argparse.SUPPRESS, help=field.description, **how)
    told = vars(parser.parse_args(arguments))
    bucket, _, prefix = told.pop("source").removeprefix("s3://").partition("/")
    directory = os.path.abspath(told.pop("directory"))
    return MountSpec(name="engine", bucket=bucket, prefix=prefix, mountpoint=directory, **_modes(told))


def _value(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _modes(told: dict[str, Any]) -> dict[str, Any]:
    """Modes are octal text; everything else that looks like a number is one."""
    return {name: f"{value:04d}" if name.endswith("_mode") else value for name, value in told.items()}


async def _run(spec: MountSpec, access: Access, authorities: Authorities, spawner: Spawner | None) -> int:
    stats = EngineStats()
    fetchers = Fetchers(spawner, stats)
    try:
        trust = authorities.trust()
        access = await preflight(spec, access, stats, trust=trust)
    except (CaBundleUnusable, Unmountable) as refusal:
        logger.error("%s", refusal, extra=about(MOUNT_STATE))  # noqa: TRY400 its text is the whole story
        return EXIT_UNAVAILABLE
    own = connections_of_engine(spec, fetchers.count)
    client = client_for(spec, access, stats, trust=trust, connections_max=own)
    fetchers.use(access)
    try:
        return await serve(spec, client, stats, fetchers)
    finally:
        with trio.CancelScope(shield=True):
            await client.aclose()


async def serve(spec: MountSpec, client: ObjectClient, stats: EngineStats, fetchers: Fetchers | None = None) -> int:
    """Mount, serve until unmounted or SIGINT or SIGTERM, tell the counters in the log. Returns the exit code."""
    async with serving(client, spec, stats, generation=0, fetchers=fetchers) as operations:
        mounted = trio.Event()
        operations.on_init = mounted.set
        session.mount(operations, spec)
        async with trio.open_nursery() as nursery:
            try:
                nursery.start_soon(_stop_at_signals)
                nursery.start_soon(_announce, spec, mounted)
                await session.serve(spec.max_threads)
            finally:
                session.close(unmount=True)
                nursery.cancel_scope.cancel()
        await operations.drain()
    logger.info("%s", stats.snapshot().model_dump_json())
    return 0


async def _stop_at_signals() -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            session.stop()


async def _announce(spec: MountSpec, mounted: trio.Event) -> None:
    await mounted.wait()
    await trio.to_thread.run_sync(functools.partial(_set_read_ahead, spec.mountpoint))
    print("mounted", flush=True)


def _set_read_ahead(mountpoint: str) -> None:
    os.statvfs(mountpoint)  # once it is answered, INIT was, too
    if (device := session.mount_device(mountpoint)) is not None:
        kernel_read_ahead.set_up(device)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
