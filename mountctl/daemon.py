"""`mountctl run` and `mountctl mount` behind their command lines: supervisor, control socket, signals, systemd.

Called by mountctl/commands. Owns the process: its log, its signals, its exit code.
"""

import logging
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from engine import stderr
from engine.facts import about
from engine.message_ids import CONFIG_IGNORED, RELOAD, SUPERVISOR_ENDS
from engine.spec import MountSpec
from mountctl.config.load import Config, SupervisorSpec, load
from mountctl.config.watch import Watcher
from mountctl.control import server
from mountctl.control.listening import Listening
from mountctl.control.offered import Offered
from mountctl.environment import unheeded
from mountctl.errors import MountctlError
from mountctl.notify import Notifier, watchdog_seconds
from mountctl.supervisor import by_hand, log_output, oom, orphans, remembered, report
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.events import Kind
from mountctl.supervisor.external_holder import ExternalFdStore
from mountctl.supervisor.fdstore import FdStore, SystemdFdStore
from mountctl.supervisor.held import HeldFdStore
from mountctl.supervisor.log_lines import Listener
from mountctl.supervisor.mount_api import become_subreaper
from mountctl.supervisor.remembered import Remembered
from mountctl.supervisor.runtime import RuntimeDirectory
from mountctl.supervisor.state import MountState
from mountctl.supervisor.supervisor import Supervisor
from mountctl.supervisor.vital import vital

_log = logging.getLogger(__name__)

COMMAND_LINE: Final = Path("(command line)")


class CannotMount(MountctlError):
    """`mountctl mount` could not mount; the message says why."""

    exit_code = 1


class NeedsRoot(MountctlError):
    """Mounting, and giving engines users of their own, takes root."""

    exit_code = 1


def run(
    config: Path, runtime_dir: Path, state_dir: Path, *, watch: bool = True, leave_seconds: float | None = None
) -> int:
    """The supervisor of a configuration file, in the foreground, until SIGTERM. Returns the exit code.

    Args:
        config: the file.
        runtime_dir: where its control socket is.
        state_dir: what is noted for later runs.
        watch: reload when the file has changed, unless it says otherwise.
        leave_seconds: somebody else runs the FD holder, and the end waits for it so long; None: it is systemd's, or our
            own.

    A file with errors is served as it was when it was last good. Raises ConfigError if it never was; NeedsRoot,
    RuntimeDirectoryHeld.
    """
    return _run(
        lambda: load(config),
        runtime_dir,
        state_dir,
        must_mount=False,
        config=config,
        watch=watch,
        leave_seconds=leave_seconds,
    )


def run_one(spec: MountSpec, runtime_dir: Path, state_dir: Path, mounted: Callable[[], None] = lambda: None) -> int:
    """A supervisor of one mount and no file, until SIGTERM or until somebody unmounts it. Returns the exit code.

    Args:
        spec: the mount.
        runtime_dir: where its control socket is.
        state_dir: where it notes what it has mounted, and what it has begun in S3.
        mounted: called when it can be used.

    Raises CannotMount when it does not come up at the first attempt.
    """
    one = Config(path=COMMAND_LINE, files=(), supervisor=SupervisorSpec(), mounts={spec.name: spec})
    return _run(lambda: one, runtime_dir, state_dir, must_mount=True, mounted=mounted)


def _run(
    load_config: Callable[[], Config],
    runtime_dir: Path,
    state_dir: Path,
    *,
    must_mount: bool,
    mounted: Callable[[], None] = lambda: None,
    config: Path | None = None,
    watch: bool = False,
    leave_seconds: float | None = None,
) -> int:
    if os.geteuid() != 0:
        raise NeedsRoot("mounting needs root: run it with sudo, or as a systemd service")
    stderr.unblock()
    log_output.hold()
    for sentence in unheeded(os.environ):
        _log.warning("%s", sentence, extra=about(CONFIG_IGNORED))
    become_subreaper()
    _raise_file_limit()
    if leave_seconds is not None:
        oom.spare_this_process()  # elsewhere that is the unit's business
    with RuntimeDirectory(runtime_dir) as runtime:
        daemon = _Daemon(
            load_config,
            runtime,
            _fd_store(runtime.path, leave_seconds),
            remembered.of(state_dir, runtime_dir, config),
            mounted,
            must_mount=must_mount,
            watched=config if watch else None,
        )
        try:
            return trio.run(daemon.serve)
        finally:
            orphans.end_all(spare=daemon.left_engines)


class _Daemon:
    """One run of the process."""

    def __init__(
        self,
        load_config: Callable[[], Config],
        runtime: RuntimeDirectory,
        fds: FdStore,
        found: Remembered,
        mounted: Callable[[], None],
        *,
        must_mount: bool,
        watched: Path | None,
    ) -> None:
        self._changes = Changes()
        self._mounted = mounted
        # Before the file is read: see there.
        self._watcher = None if watched is None else Watcher(watched, lambda: self._supervisor.config.referenced)
        self._notifier = Notifier()
        self._runtime = runtime
        self._must_mount = must_mount
        self._spending, self._restoring = found.spending, found.restoring
        self._supervisor = Supervisor(
            load_config,
            fds,
            found,
            changed=self._tell_status,
            transient=must_mount,
        )
        self._offered = Offered(
            self._supervisor,
            found,
            self._changes,
            self._notifier,
            changed=self._tell_status,
            watching=lambda: None if self._watcher is None else self._watcher.manner,
            metrics=lambda: self._listening.state,
        )
        self._listening: Listening = Listening(
            lambda: self._supervisor.config.supervisor.metrics_listen, self._changes, lambda: self._offered.status(())
        )

    @property
    def left_engines(self) -> set[int]:
        """Processes that go on without us."""
        return self._supervisor.left_engines

    async def serve(self) -> int:
        """Until SIGTERM or SIGINT, or until a mount that must come up has not."""
        logging.getLogger().addHandler(Listener(self._supervisor.logs))
        by_hand.use_log_form(self._supervisor)
        self._supervisor.events.note(Kind.SUPERVISOR, f"supervisor {os.getpid()}, version {report.VERSION}, begins")
        failure: MountctlError | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(vital(self._obey_signals), nursery)
            await nursery.start(vital(self._listen))
            nursery.start_soon(log_output.tell_repeats)
            nursery.start_soon(vital(by_hand.end_log_levels), self._supervisor)
            if (interval := watchdog_seconds()) is not None:
                nursery.start_soon(vital(self._feed_watchdog), interval)
            await nursery.start(vital(self._supervisor.run))
            for each in (self._spending, self._restoring):
                nursery.start_soon(vital(each.run), lambda: self._supervisor.mounts)
            nursery.start_soon(self._listening.run)
            failure = self._first_failure() if self._must_mount else None
            if failure is None:
                self._notifier.ready(report.summary(self._supervisor))
                self._mounted()
                if self._must_mount:
                    nursery.start_soon(self._end_with_mounts, nursery)
                if self._watcher is not None:
                    nursery.start_soon(self._watcher.run, self._reload_by_itself, self._tell_status)
            else:
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return 0

    async def _end_with_mounts(self, nursery: trio.Nursery) -> None:
        await self._supervisor.all_unmounted.wait()
        _log.info("nothing is mounted any more: ending", extra=about(SUPERVISOR_ENDS))
        self._notifier.stopping("nothing is mounted any more")
        nursery.cancel_scope.cancel()

    async def _reload_by_signal(self) -> None:
        try:
            await self._offered.reload()
        except Exception:  # noqa: BLE001 - a bug in a reload must not take the mounts along
            _log.exception("reload failed by an internal error")

    async def _reload_by_itself(self) -> None:
        if self._supervisor.config.supervisor.watch:
            _log.info("the configuration has changed", extra=about(RELOAD))
            await self._reload_by_signal()

    async def _listen(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        group = self._supervisor.config.supervisor.control_group
        await server.serve(self._runtime.socket_path, self._offered, group=group, task_status=task_status)

    async def _obey_signals(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGUSR2:
                    by_hand.switch_debug(self._supervisor)
                elif number != signal.SIGHUP:
                    if await self._supervisor.leave():
                        what = "leaving the mounts to the supervisor that comes next"
                    else:
                        what = "unmounting all"
                    _log.info("%s: %s", signal.Signals(number).name, what, extra=about(SUPERVISOR_ENDS))
                    self._supervisor.events.note(Kind.SUPERVISOR, f"{signal.Signals(number).name}: {what}")
                    self._notifier.stopping(what)
                    nursery.cancel_scope.cancel()
                    # Stays, so that another signal does not cut the clean-up short.
                    with trio.CancelScope(shield=True):
                        await self._supervisor.stopped.wait()
                    return
                else:
                    nursery.start_soon(self._reload_by_signal)  # SIGTERM must not wait for it

    async def _feed_watchdog(self, interval: float) -> None:
        while True:
            self._notifier.watchdog()
            await trio.sleep(interval)

    def _first_failure(self) -> CannotMount | None:
        for mount in self._supervisor.mounts.values():
            if mount.state not in (MountState.READY, MountState.DEGRADED):
                return CannotMount(mount.reason or f"{mount.spec.name} is {mount.state}")
        return None

    def _tell_status(self) -> None:
        self._changes.tell()
        self._supervisor.logs.keep(self._supervisor.config.mounts.keys() | self._supervisor.mounts.keys())
        self._notifier.status(report.summary(self._supervisor))


def _fd_store(directory: Path, leave_seconds: float | None) -> FdStore:
    if leave_seconds is not None:
        return ExternalFdStore(directory, leave_seconds)
    address = os.environ.get("NOTIFY_SOCKET")
    return SystemdFdStore(address) if address else HeldFdStore(directory)


def _raise_file_limit() -> None:
    # Five descriptors a mount, all the time; 1024, the usual soft limit, is for programs that use select().
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
