"""What `mountctl status` tells: the JSON contract, and the rules of health.

Built by the supervisor, carried by the control socket; status_table.py shows it to a person. Pure: no I/O, no clock.
Keys are added freely and never renamed.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mountctl.volume import VolumeStatus

SCHEMA: Final = 1

# The source of the credentials of a mount that signs nothing.
ANONYMOUS: Final = "anonymous"

State = Literal[
    "starting", "ready", "degraded", "recovering", "draining", "backoff", "failed", "held", "stopped"
]  # fmt: skip
Health = Literal["ready", "degraded", "failed"]

# Programs can use the mount, or wait for it without an error.
SERVING: Final[frozenset[State]] = frozenset({"ready", "degraded", "recovering", "draining"})
EXIT_CODES: Final[dict[Health, int]] = {"ready": 0, "degraded": 3, "failed": 4}
# No supervisor is no mount.
EXIT_NO_SUPERVISOR: Final = 4


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class EngineStatus(_Part):
    """The process that serves a mount."""

    pid: int | None = Field(None, description="None: there is none now")
    started: AwareDatetime | None = None
    takeovers: int = Field(0, description="engines that took the mounted file system over from one that was gone")
    handovers: int = Field(0, description="engines that took it over from one that was well, as planned")
    version: str | None = Field(None, description="of the code that it runs")
    last_exit: str | None = Field(None, description="how the engine before ended")


class BackendStatus(_Part):
    """S3, as the engine sees it. `reachable` is None while nothing is known."""

    reachable: bool | None = None
    error: str | None = Field(None, description="why it is not reachable")
    refused: str | None = Field(None, description="it answers, and lets this mount do nothing: why")


class CredentialsStatus(_Part):
    """Where the mount's keys come from. Never a secret, never a key."""

    source: str | None = Field(
        None,
        description="environment, profile, role, web-identity, credential-process, sso, container, instance, "
        "anonymous; None while there are none",
    )
    profile: str | None = Field(None, description="the option")
    expires: AwareDatetime | None = Field(None, description="None: they do not, as far as is known")
    error: str | None = Field(None, description="why there are none, or no newer ones")


class SessionStatus(_Part):
    """What the kernel allows for a mount when its engine, or its session, is replaced."""

    takeover: Literal["resend", "interrupt"] = Field(
        description="requests that a dead engine had read: are sent again (Linux 6.9), or end with EINTR"
    )
    replace: Literal["beneath", "gap"] = Field(
        description="a new session takes an old one's place: unnoticed (Linux 6.5), or with a gap of a millisecond"
    )
    waiting: int | None = Field(None, description="requests without an answer, by the kernel; None: no fusectl")


class LogStatus(_Part):
    """Where the mount's log goes. `mountctl logs` shows it."""

    to: Literal["file", "journal", "stderr", "nowhere"] = Field(description="stderr: the supervisor's")
    path: str | None = Field(None, description="the file, or what the supervisor's standard error is, if it has a path")
    unit: str | None = Field(None, description="whose journal it is")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    level_until: AwareDatetime | None = Field(None, description="then it is the file's again; None: with a reload")


class RestoreStatus(_Part):
    """What was asked for at a path, and is not there yet."""

    path: str
    recursive: bool = Field(description="all below it")
    tier: Literal["Standard", "Bulk", "Expedited"] | None = Field(
        None, description="None: it is not known, as somebody else has asked S3"
    )
    objects: int = Field(description="so many are under way")
    asked: AwareDatetime = Field(description="when that was; of what somebody else has asked for: when it was seen")
    expected: AwareDatetime | None = Field(None, description="when the last may be there, as a rule; None: not known")


class RestoresStatus(_Part):
    """Archived objects that S3 restores now, as it said last; `mountctl restore --status` asks it."""

    under_way: int = Field(0, description="objects")
    next_expected: AwareDatetime | None = Field(None, description="when the next ones may be there, as a rule")
    requests: list[RestoreStatus] = Field(default_factory=list, description="by path; the first 20 to be there")


class DayCost(_Part):
    """What a day's requests to S3 cost; `put`, `get` and `free` are how many there were, by price."""

    day: str = Field(description="UTC, as 2026-11-26")
    cost: float = Field(description="in that currency")
    put: int = Field(description="PUT, COPY, POST and LIST")
    get: int = Field(description="GET, HEAD and others")
    free: int = Field(description="DELETE, and aborts of uploads")


class SliceStatus(_Part):
    """The slice of systemd that a mount has for its limits."""

    name: str = Field(description="the unit: `systemctl status` shows it")
    trouble: str | None = Field(None, description="what of the limits is not in force, and why; None: all are")
    memory_bytes: int | None = Field(None, description="in use there now, buffers of the kernel included")


class CostStatus(_Part):
    """What a mount's requests to S3 cost, by the prices of the configuration. Requests only: no storage, no traffic."""

    currency: str = Field(description="the option price-currency")
    today: float = Field(description="since midnight, UTC")
    total: float = Field(description="of all days that are known")
    days: list[DayCost] = Field(description="the last ones, the newest first")


class MountStatus(_Part):
    """One mount."""

    name: str
    mountpoint: str
    source: str
    state: State
    since: AwareDatetime = Field(description="when this state began")
    reason: str | None = Field(None, description="why it is not ready, in one sentence")
    engine: EngineStatus = EngineStatus()
    session: SessionStatus | None = Field(None, description="None: there is none now")
    backend: BackendStatus = BackendStatus()
    credentials: CredentialsStatus = CredentialsStatus()
    stats: dict[str, Any] = Field(default_factory=dict, description="counters, as an engine's heartbeat has them")
    log: LogStatus = LogStatus(to="stderr")
    transient: bool = Field(default=False, description="no file declares it: it is over when somebody unmounts it")
    volume: VolumeStatus | None = Field(None, description="an orchestrator has asked for it; None: nobody has")
    last_error: str | None = Field(None, description="the last error that a program saw as EIO or EACCES")
    restores: RestoresStatus = RestoresStatus()
    cost: CostStatus | None = Field(None, description="None: it is not mounted")
    slice: SliceStatus | None = Field(None, description="None: no limits are asked for")


class LastReload(_Part):
    """The last time the configuration was read. One that is not ok changed nothing."""

    ok: bool
    errors: list[str] = Field(default_factory=list)
    at: AwareDatetime


class ConfigStatus(_Part):
    """The configuration in force."""

    path: str
    last_reload: LastReload
    confirm_by: AwareDatetime | None = Field(None, description="it is on trial until then; None: it stays")
    watching: str | None = Field(
        None, description="how its changes are heard of: `notified` by the kernel, or by `polling`; None: by nobody"
    )


class MetricsStatus(_Part):
    """Where metrics and the status page are told beside the control socket."""

    listen: str = Field(description="the option metrics-listen")
    error: str | None = Field(None, description="why it is not listened there; it is tried again")


class SupervisorStatus(_Part):
    """The supervisor itself. `generation` counts the configurations it has carried out."""

    pid: int
    version: str
    generation: int
    started: AwareDatetime | None = Field(None, description="when it began")
    config: ConfigStatus
    fd_holder: Literal["present", "filling", "absent"] | None = Field(
        None, description="an FD holder that somebody else runs; filling: it has not all yet; None: it is not to be one"
    )
    fd_holder_reason: str | None = Field(None, description="what it means that it is not present, in one sentence")
    metrics: MetricsStatus | None = Field(None, description="None: they are told on the control socket only")


class Status(BaseModel):
    """All that `status --json` prints. Frozen."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_version: int = Field(SCHEMA, alias="schema")
    health: Health
    supervisor: SupervisorStatus
    mounts: list[MountStatus]


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as the contract writes times: ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


def health(states: Iterable[State], *, reload_ok: bool = True) -> Health:
    """The worst that can be said of these mounts. A refused reload alone is `degraded`: what was mounted still is."""
    known = list(states)
    if known and not any(state in SERVING for state in known):
        return "failed"
    return "ready" if reload_ok and all(state == "ready" for state in known) else "degraded"
