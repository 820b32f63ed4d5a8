"""What an operator has done to mounts without changing the file: stopped, started, other engines, log level.

Called by daemon.py, for the control socket and for signals. Decides nothing about what is mounted.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import trio

from engine.logged import Level
from engine.spec import MountSpec
from mountctl.errors import MountctlError
from mountctl.supervisor import log_output, open_files, steps, telling
from mountctl.supervisor.handover import HandoverFailed
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.report import chosen, declared
from mountctl.supervisor.results import UNCHANGED, CannotAdd, Reload, ended, trouble
from mountctl.supervisor.state import SERVED
from mountctl.supervisor.supervisor import Supervisor
from mountctl.supervisor.zygote import ForkError

# How long an operator waits before it is said how far each mount is.
SETTLE_SECONDS: Final = 15.0
# How long `add` waits for its mount: longer than an engine may take to start (watch.START_TIMEOUT_SECONDS).
ADD_SECONDS_MAX: Final = 60.0


class LogsNothing(MountctlError):
    """A mount has no log whose level could be changed."""


async def stop(supervisor: Supervisor, names: Sequence[str], by: str, seconds: float) -> dict[str, str]:
    """Unmount these and hold them, whatever the file says, until `start`. Returns what came of each.

    Args:
        supervisor: it.
        names: of the configuration's mounts.
        by: who asks, for `status`.
        seconds: how long it is waited for files that are being written.
    """
    results: dict[str, str] = {}
    await supervisor.running.wait()

    async def one(name: str) -> None:
        mount, left = supervisor.mounts.get(name), ""
        if mount is not None:
            if writing := await steps.written(mount, seconds):
                left = f", while {writing} files were being written"
            if programs := await users(mount):
                left += f", while it was open in {', '.join(programs)}"
        async with supervisor.reloading:
            supervisor.holds.add(name, by)
            trouble = await trio.to_thread.run_sync(supervisor.holds.write)
            telling.hold(supervisor.events, name, f"stopped by {by}", "held")
            if name in supervisor.mounts:
                await supervisor.remove(mount := supervisor.mounts[name])
                left += f", but its mount is left: {mount.left_behind}" if mount.left_behind else ""
        results[name] = f"stopped{left}" + (f", {trouble}" if trouble else "")

    async with trio.open_nursery() as nursery:
        for each in dict.fromkeys(names):
            nursery.start_soon(one, each)
    return dict(sorted(results.items()))


async def add(supervisor: Supervisor, spec: MountSpec) -> None:
    """Have a mount that no file declares, until somebody unmounts it. Returns when it can be used.

    Raises CannotAdd; then nothing is left of it.
    """
    mount = await supervisor.begin(lambda: spec, transient=True)
    with trio.move_on_after(ADD_SECONDS_MAX):
        await mount.settling.wait()
    if mount.state in SERVED:
        return
    reason = mount.reason or f"it is still {mount.state}"
    if supervisor.mounts.get(spec.name) is mount:
        await supervisor.remove(mount)
    raise CannotAdd(reason)


async def upgrade(supervisor: Supervisor) -> Reload:
    """Have all mounts served by the engine that is installed now, one after the other; programs notice nothing.

    A mount whose successor does not come up stays with its engine. Nothing happens at all if the new code does not
    start.
    """
    async with supervisor.reloading:
        try:
            version = await supervisor.renew()
        except ForkError as error:
            return Reload(ok=False, errors=(str(error),))
        found = {}
        for name, mount in sorted(supervisor.mounts.items()):
            served = mount.state in SERVED  # if not, the next engine that is tried is a new one
            found[name] = await steps.told_of_handover(mount) if served else UNCHANGED
        ended(supervisor.events, f"upgraded to {version}", found)
    return Reload(ok=True, mounts=found)


async def users(mount: Mount) -> list[str]:
    """The processes that have a mount open, each as `command (pid)`."""
    session = mount.session
    place = (
        None if session is None else session.place()
    )  # as the kernel has it, where processes are: links are followed
    return [] if session is None or place is None else await open_files.users(session.mount_id, place)


async def start(supervisor: Supervisor, names: Sequence[str]) -> dict[str, str]:
    """Mount these again, which were stopped. Returns how each is then. Raises UnknownMount."""
    await supervisor.running.wait()
    async with supervisor.reloading:
        declared(supervisor, names)  # a reload may have come first
        fresh = [name for name in dict.fromkeys(names) if name not in supervisor.mounts]
        dropped = [name for name in names if supervisor.holds.drop(name)]
        for name in dropped:
            telling.hold(supervisor.events, name, "started: no longer held")
        lost = await trio.to_thread.run_sync(supervisor.holds.write) if dropped else None
        await supervisor.start([supervisor.config.mounts[name] for name in fresh])
    results = {
        name: f"{'started' if name in fresh else 'not held'}{trouble(supervisor.mounts[name])}" for name in names
    }
    return results | {name: f"{results[name]}, {lost}" for name in dropped if lost}


async def restart(mounts: Iterable[Mount]) -> dict[str, str]:
    """Have other engines serve these mounts, or what waits for its next try tried now. Returns how each is then."""
    results: dict[str, str] = {}

    async def one(mount: Mount) -> None:
        name = mount.spec.name
        results[name] = "still being restarted"
        with trio.move_on_after(SETTLE_SECONDS):
            try:
                if mount.state in SERVED:
                    await steps.hand_over(mount)
                else:
                    await mount.try_again()
            except HandoverFailed as error:
                results[name] = f"not restarted: {error}"
                return
        results[name] = "restarted" + trouble(mount)

    async with trio.open_nursery() as nursery:
        for each in dict.fromkeys(mounts):
            nursery.start_soon(one, each)
    return results


def set_log_level(supervisor: Supervisor, name: str, level: Level | None, seconds: float | None, by: str) -> str:
    """Have a mount's engines log from this level on, for so many seconds or until a reload. Returns what is so then.

    None: as the file says. Raises LogsNothing.
    """
    mount, levels = chosen(supervisor, [name])[0], supervisor.logs.levels
    if mount.spec.no_log:
        raise LogsNothing(f"{name} logs nothing: it has no-log")
    if level is None:
        levels.take_back(name)
    else:
        levels.give(name, level, seconds)
    _tell_level(supervisor, mount)
    until = f"for {seconds:.0f} s" if seconds is not None else "until a reload"
    told = f"{levels.of(mount.spec)}{f' {until}' if level is not None else ', as the configuration says'}"
    telling.log_level(supervisor.events, f"log level by {by}: {told}", name)
    return told


async def end_log_levels(supervisor: Supervisor) -> None:
    """When the time of a level is over, have the mount log as the file says. Until cancelled."""

    def over(name: str) -> None:
        if (mount := supervisor.mounts.get(name)) is not None:
            _tell_level(supervisor, mount)
            level = supervisor.logs.levels.of(mount.spec)
            telling.log_level(supervisor.events, f"log level: {level}, as its time is over", name)

    await supervisor.logs.levels.run(over)


def log_as_configured(supervisor: Supervisor) -> None:
    """Have all mounts log as the file says."""
    if supervisor.logs.levels.end():
        telling.log_level(supervisor.events, "log levels are those of the configuration")
        _tell_levels(supervisor)


def use_log_form(supervisor: Supervisor) -> None:
    """Have this process, engines and the broker log as the configuration says, those that run and those to come."""
    logs, form = supervisor.logs, supervisor.config.supervisor.log_format
    if logs.form != form:
        logs.form = form
        logs.form_changed()
        for mount in supervisor.mounts.values():
            if mount.engine is not None:
                mount.engine.set_log_form(form)
    log_output.set_up(logs.form, logs.split)


def switch_debug(supervisor: Supervisor) -> None:
    """Have all mounts log at debug level; or, if they do so by this, as the file says or an operator has told."""
    levels = supervisor.logs.levels
    levels.everywhere = "debug" if levels.everywhere is None else None
    how = "as their mounts say" if levels.everywhere is None else "at debug level"
    telling.log_level(supervisor.events, f"SIGUSR2: engines log {how}")
    _tell_levels(supervisor)


def _tell_levels(supervisor: Supervisor) -> None:
    for mount in supervisor.mounts.values():
        _tell_level(supervisor, mount)


def _tell_level(supervisor: Supervisor, mount: Mount) -> None:
    if mount.engine is not None:
        mount.engine.set_log_level(supervisor.logs.levels.of(mount.spec))
