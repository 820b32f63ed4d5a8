"""What `status` tells, put together from the supervisor and its mounts. Pure reading; called by daemon.py."""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Final

import engine
from engine.counted import Stats
from engine.spec import MountSpec
from mountctl import status as contract
from mountctl.errors import UnknownMount
from mountctl.supervisor import abilities, fusectl, log_place
from mountctl.supervisor.fdstore import HolderState
from mountctl.supervisor.holds import Hold
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.results import Reload
from mountctl.supervisor.session import Session
from mountctl.supervisor.supervisor import Supervisor

# Of the names of a thousand mounts, in one sentence.
_NAMES_MAX: Final = 20
# Longer ones are no mount's (engine/spec.py), and likeness takes time.
_NAME_CHARACTERS_MAX: Final = 63
_BEGAN: Final = time.time()
_WITHOUT_HOLDER: Final[Mapping[HolderState | None, str]] = {
    HolderState.ABSENT: "the FD holder is away: should this supervisor be killed now, its mounts end with it",
    HolderState.FILLING: "the FD holder has not all yet: should this supervisor be killed now, mounts may end with it",
}

VERSION: Final = engine.__version__


def status(
    supervisor: Supervisor,
    names: Sequence[str],
    watching: str | None = None,
    *,
    present_only: bool = False,
    cost: Callable[[Mount, Stats], contract.CostStatus | None] = lambda _mount, _stats: None,
    metrics: contract.MetricsStatus | None = None,
    restores: Callable[[MountSpec], contract.RestoresStatus] = lambda _spec: contract.RestoresStatus(),
) -> contract.Status:
    """The status of all mounts, or of the named ones in their order. Raises UnknownMount.

    Args:
        supervisor: it.
        names: of the mounts; none: all.
        watching: how changes of the configuration are heard of; None: they are not.
        present_only: of those that are named leave out what there is not, instead of raising.
        cost: of a mount's requests, by its counters.
        metrics: where they are told.
        restores: what S3 restores of a mount's archived objects.
    """
    watching = watching if supervisor.config.supervisor.watch else None
    held = {name: hold for name, hold in supervisor.holds.held().items() if _is_held(supervisor, name)}
    coming = {name: spec for name, spec in _coming(supervisor).items() if name not in held}
    running = [name for name in names if name not in held and name not in coming]
    if present_only:
        running = [name for name in running if name in supervisor.mounts]
    mounts = [
        _mount(mount, supervisor, cost, restores)
        for mount in (chosen(supervisor, running) if running or not names else [])
    ]
    logs = supervisor.logs
    mounts += [_starting(spec, logs) for name, spec in coming.items() if not names or name in names]
    mounts += [
        _held(supervisor.config.mounts[name], hold, logs) for name, hold in held.items() if not names or name in names
    ]
    return contract.Status(
        schema_version=contract.SCHEMA,
        health=contract.health((mount.state for mount in mounts), reload_ok=supervisor.last_reload.ok),
        supervisor=contract.SupervisorStatus(
            pid=os.getpid(),
            version=VERSION,
            generation=supervisor.generation,
            started=contract.utc(_BEGAN),
            metrics=metrics,
            config=contract.ConfigStatus(
                path=str(supervisor.config.path),
                last_reload=_reload(supervisor.last_reload),
                watching=watching,
                confirm_by=_utc(supervisor.trial.until),
            ),
            fd_holder=None if supervisor.fds.holder is None else supervisor.fds.holder.value,
            fd_holder_reason=_WITHOUT_HOLDER.get(supervisor.fds.holder),
        ),
        mounts=mounts,
    )


def _is_held(supervisor: Supervisor, name: str) -> bool:
    return name in supervisor.config.mounts and name not in supervisor.mounts


def _coming(supervisor: Supervisor) -> Mapping[str, MountSpec]:
    """Mounts that a supervisor that has just begun has not come to yet: it looks at what was left first."""
    declared = supervisor.config.mounts.items() if supervisor.beginning else ()
    return {name: spec for name, spec in declared if name not in supervisor.mounts}


def _starting(spec: MountSpec, logs: Logs) -> contract.MountStatus:
    return contract.MountStatus(
        name=spec.name,
        mountpoint=spec.mountpoint,
        source=spec.source,
        state="starting",
        since=contract.utc(_BEGAN),
        reason="the supervisor has just begun",
        log=log_place.of(spec, logs),
    )


def _held(spec: MountSpec, hold: Hold, logs: Logs) -> contract.MountStatus:
    return contract.MountStatus(
        name=spec.name,
        mountpoint=spec.mountpoint,
        source=spec.source,
        state="held",
        since=contract.utc(hold.at),
        reason=f"{hold} (`mountctl start {spec.name}` mounts it)",
        log=log_place.of(spec, logs),
    )


def declared(supervisor: Supervisor, names: Sequence[str]) -> None:
    """Have it that all of these are the configuration's. Raises UnknownMount."""
    if unknown := [name for name in names if name not in supervisor.config.mounts]:
        raise UnknownMount(f"the configuration has no mount {_instead(unknown, supervisor.config.mounts)}")


def known(supervisor: Supervisor, names: Sequence[str]) -> None:
    """Have it that each of these is or was to be a mount. Raises UnknownMount."""
    there = {*supervisor.config.mounts, *supervisor.mounts}
    if unknown := [name for name in names if name not in there]:
        raise UnknownMount(f"no mount is named {_instead(unknown, there)}")


def chosen(supervisor: Supervisor, names: Sequence[str]) -> list[Mount]:
    """The mounts of these names, in their order; all, if none is named. Raises UnknownMount."""
    unknown = [name for name in names if name not in supervisor.mounts]
    if unknown:
        raise UnknownMount(f"no mount is named {_instead(unknown, supervisor.mounts)}")
    return [supervisor.mounts[name] for name in names or supervisor.mounts]


def _instead(unknown: Sequence[str], there: Collection[str]) -> str:
    """The names that are none, what may have been meant, and what there is."""
    close = [guess for name in unknown for guess in get_close_matches(name[:_NAME_CHARACTERS_MAX], there, n=1)]
    meant = f" (did you mean {', '.join(close)}?)" if close else ""
    listed = sorted(there)
    more = f" and {len(listed) - _NAMES_MAX} more" if len(listed) > _NAMES_MAX else ""
    return f"{', '.join(map(repr, unknown))}{meant}; there is: {', '.join(listed[:_NAMES_MAX]) or 'none'}{more}"


def _mount(
    mount: Mount,
    supervisor: Supervisor,
    cost: Callable[[Mount, Stats], contract.CostStatus | None],
    restores: Callable[[MountSpec], contract.RestoresStatus],
) -> contract.MountStatus:
    stats = mount.stats
    return contract.MountStatus(
        name=mount.spec.name,
        mountpoint=mount.spec.mountpoint,
        source=mount.spec.source,
        state=mount.state.value,
        since=contract.utc(mount.since),
        reason=mount.reason,
        engine=contract.EngineStatus(
            pid=None if mount.engine is None else mount.engine.pid,
            started=None if mount.engine is None else contract.utc(mount.engine.started),
            takeovers=mount.takeovers,
            handovers=mount.engines.handovers,
            version=None if mount.engine is None else mount.engine.version,
            last_exit=mount.engines.last_exit,
        ),
        session=_session(mount.session),
        backend=contract.BackendStatus(
            reachable=mount.backend.reachable, error=mount.backend.error, refused=mount.backend.refused
        ),
        credentials=_credentials(mount),
        stats=vars(stats),  # its fields; dict(stats) asks for each, which with 200 mounts takes 2 ms
        log=log_place.of(mount.spec, supervisor.logs),
        transient=mount.transient,
        volume=supervisor.volumes.roster.status(mount),
        last_error=mount.last_error,
        restores=restores(mount.spec),
        cost=cost(mount, stats),
        slice=supervisor.slices.status(mount.spec),
    )


def _credentials(mount: Mount) -> contract.CredentialsStatus:
    known = mount.access
    keys = None if known.access is None else known.access.credentials
    expires = None if keys is None else keys.expires
    found = None if keys is None else keys.source
    return contract.CredentialsStatus(
        source=contract.ANONYMOUS if mount.spec.no_sign_request else found,
        profile=mount.spec.profile,
        expires=None if expires is None else contract.utc(expires),
        error=known.error,
    )


def _session(session: Session | None) -> contract.SessionStatus | None:
    if session is None:
        return None
    return contract.SessionStatus(
        takeover="resend" if session.has_resend else "interrupt",
        replace="beneath" if abilities.beneath() else "gap",
        waiting=fusectl.waiting(session.minor),
    )


def _reload(reload: Reload) -> contract.LastReload:
    return contract.LastReload(ok=reload.ok, errors=list(reload.errors), at=contract.utc(reload.at))


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else contract.utc(seconds)


def summary(supervisor: Supervisor) -> str:
    """All of it in a line, for `systemctl status`."""
    mounts = supervisor.mounts.values()
    states = Counter(str(mount.state) for mount in mounts)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    trouble = [f"{mount.spec.name}: {mount.reason}" for mount in mounts if mount.reason]
    errors = [f"reload refused: {error}" for error in supervisor.last_reload.errors]
    return "; ".join([f"{len(mounts)} mounts: {told}" if told else "no mounts", *errors, *trouble])
