"""What `mountctl status` tells: the JSON contract, the rules of health, and the table for a person.

Built by the supervisor, carried by the control socket, shown by the command. Pure: no I/O, no clock. Keys are added
freely and never renamed.
"""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

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

# A terminal beside another on a laptop; tables that wrap can't be read.
COLUMNS: Final = 100
_GAP: Final = "  "
_INDENT: Final = "    "
# Narrower than this a name, source or path says nothing any more.
_WIDTH_MIN: Final = 8
_CUT: Final = "..."


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
    transient: bool = Field(default=False, description="no file declares it: it is over when somebody unmounts it")
    last_error: str | None = Field(None, description="the last error that a program saw as EIO or EACCES")


class LastReload(_Part):
    """The last time the configuration was read. One that is not ok changed nothing."""

    ok: bool
    errors: list[str] = Field(default_factory=list)
    at: AwareDatetime


class ConfigStatus(_Part):
    """The configuration in force."""

    path: str
    last_reload: LastReload
    watching: str | None = Field(
        None, description="how its changes are heard of: `notified` by the kernel, or by `polling`; None: by nobody"
    )


class SupervisorStatus(_Part):
    """The supervisor itself. `generation` counts the configurations it has carried out."""

    pid: int
    version: str
    generation: int
    config: ConfigStatus


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


def render(status: Status, now: datetime) -> str:
    """The table that a person sees: at most COLUMNS wide, without a newline at its end."""
    lines = [*_headline(status), ""] if status.mounts else _headline(status)
    rows = [_row(mount, now) for mount in status.mounts]
    table = _table(_HEADINGS, rows) if rows else []
    lines += table[:1]
    for mount, line in zip(status.mounts, table[1:], strict=True):
        lines += [line, *_remarks(mount, now)]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """How long, in at most two units: 45s, 12m, 3h05m, 12d04h."""
    seconds = max(0.0, seconds)  # clocks are set back now and then
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m" if minutes else f"{int(seconds)}s"


def size(number: float) -> str:
    """Bytes for a person: 512 B, 1.4 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1023.95:  # 1024, as one decimal rounds it
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} PiB"


def _headline(status: Status) -> list[str]:
    supervisor = status.supervisor
    count = len(status.mounts)
    mounts = f"{count} mount" if count == 1 else f"{count} mounts"
    process = f"supervisor {supervisor.pid}, version {supervisor.version}, generation {supervisor.generation}"
    lines = [f"{status.health}: {mounts}; {process}", f"configuration: {_printable(supervisor.config.path)}"]
    reload = supervisor.config.last_reload
    if not reload.ok:
        lines.append(f"the last reload, at {reload.at:%Y-%m-%d %H:%M:%S} UTC, was refused and changed nothing:")
        for error in reload.errors:
            lines += _indented(error)
    return [line for each in lines for line in (textwrap.wrap(each, COLUMNS) if len(each) > COLUMNS else [each])]


_HEADINGS: Final = ("NAME", "STATE", "SOURCE", "MOUNTPOINT", "SINCE", "ENGINE", "READ")
# The columns that are cut when a line gets too long, and whether their end tells more than their beginning.
_KEEPS_END: Final = {0: False, 2: True, 3: True}


def _row(mount: MountStatus, now: datetime) -> tuple[str, ...]:
    return (
        mount.name,
        mount.state,
        _printable(mount.source),
        _printable(mount.mountpoint),
        duration((now - mount.since).total_seconds()),
        str(mount.engine.pid or "-"),
        size(mount.stats.get("bytes_read", 0)),
    )


def _remarks(mount: MountStatus, now: datetime) -> list[str]:
    said = [mount.reason] if mount.reason else []
    for trouble in (mount.backend.error, mount.backend.refused):
        if trouble and trouble not in said:
            said.append(f"S3: {trouble}")
    said += _about_credentials(mount, now)
    if mount.last_error and mount.last_error not in said:
        said.append(f"last error: {mount.last_error}")
    return [line for remark in said for line in _indented(remark)]


def _about_credentials(mount: MountStatus, now: datetime) -> list[str]:
    """One line about keys that expire or could not be renewed; none about those of which there is nothing to say."""
    keys = mount.credentials
    parts = []
    if keys.expires is not None:
        left = (keys.expires - now).total_seconds()
        parts.append(f"expire in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago")
    if keys.error and keys.error != mount.reason:
        parts.append(f"can't be renewed: {keys.error}" if keys.source else keys.error)
    if not parts:
        return []
    source = " ".join(filter(None, [keys.source or "none", keys.profile and f"({keys.profile})"]))
    return [f"credentials: {source}; {'; '.join(parts)}"]


def _indented(text: str) -> list[str]:
    return textwrap.wrap(
        _printable(" ".join(text.split())), COLUMNS, initial_indent=_INDENT, subsequent_indent=_INDENT + "  "
    )


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - COLUMNS
    while excess > 0:
        widest = max(_KEEPS_END, key=lambda column: widths[column])
        if widths[widest] <= _WIDTH_MIN:
            break
        widths[widest] -= 1
        excess -= 1
    return [
        _GAP.join(
            _cut(cell, widths[column], keep_end=_KEEPS_END.get(column, False)).ljust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in (headings, *rows)
    ]


def _cut(text: str, width: int, *, keep_end: bool) -> str:
    if len(text) <= width:
        return text
    kept = width - len(_CUT)
    return _CUT + text[-kept:] if keep_end else text[:kept] + _CUT


def _printable(text: str) -> str:
    """Without what could steer the terminal: a key, a path or a server's words may hold anything."""
    return "".join(character if character.isprintable() else "?" for character in text)
