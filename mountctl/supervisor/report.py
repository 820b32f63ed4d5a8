"""What `status` tells, put together from the supervisor and its mounts. Pure reading; called by daemon.py."""

import os
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final

from engine.spec import MountSpec
from mountctl import status as contract
from mountctl.errors import UnknownMount
from mountctl.supervisor import abilities, fusectl
from mountctl.supervisor.holds import Hold
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.results import Reload
from mountctl.supervisor.session import Session
from mountctl.supervisor.supervisor import Supervisor

VERSION: Final = version("mountctl-s3")


def status(supervisor: Supervisor, names: Sequence[str], watching: str | None = None) -> contract.Status:
    """The status of all mounts, or of the named ones in their order. Raises UnknownMount.

    Args:
        supervisor: it.
        names: of the mounts; none: all.
        watching: how changes of the configuration are heard of; None: they are not.
    """
    watching = watching if supervisor.config.supervisor.watch else None
    held = {name: hold for name, hold in supervisor.holds.held().items() if _is_held(supervisor, name)}
    running = [name for name in names if name not in held]
    mounts = [_mount(mount) for mount in (chosen(supervisor, running) if running or not names else [])]
    mounts += [_held(supervisor.config.mounts[name], hold) for name, hold in held.items() if not names or name in names]
    return contract.Status(
        schema_version=contract.SCHEMA,
        health=contract.health((mount.state for mount in mounts), reload_ok=supervisor.last_reload.ok),
        supervisor=contract.SupervisorStatus(
            pid=os.getpid(),
            version=VERSION,
            generation=supervisor.generation,
            config=contract.ConfigStatus(
                path=str(supervisor.config.path),
                last_reload=_reload(supervisor.last_reload),
                watching=watching,
                confirm_by=_utc(supervisor.trial.until),
            ),
        ),
        mounts=mounts,
    )


def _is_held(supervisor: Supervisor, name: str) -> bool:
    return name in supervisor.config.mounts and name not in supervisor.mounts


def _held(spec: MountSpec, hold: Hold) -> contract.MountStatus:
    return contract.MountStatus(
        name=spec.name,
        mountpoint=spec.mountpoint,
        source=spec.source,
        state="held",
        since=contract.utc(hold.at),
        reason=f"{hold} (`mountctl start {spec.name}` mounts it)",
    )


def declared(supervisor: Supervisor, names: Sequence[str]) -> None:
    """Have it that all of these are the configuration's. Raises UnknownMount."""
    if unknown := [name for name in names if name not in supervisor.config.mounts]:
        known = ", ".join(sorted(supervisor.config.mounts)) or "none"
        raise UnknownMount(f"the configuration has no mount {', '.join(map(repr, unknown))}; there is: {known}")


def chosen(supervisor: Supervisor, names: Sequence[str]) -> list[Mount]:
    """The mounts of these names, in their order; all, if none is named. Raises UnknownMount."""
    unknown = [name for name in names if name not in supervisor.mounts]
    if unknown:
        known = ", ".join(sorted(supervisor.mounts)) or "none"
        raise UnknownMount(f"no mount is named {', '.join(map(repr, unknown))}; there is: {known}")
    return [supervisor.mounts[name] for name in names or supervisor.mounts]


def _mount(mount: Mount) -> contract.MountStatus:
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
        stats=mount.stats.model_dump(),
        transient=mount.transient,
        last_error=mount.last_error,
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
