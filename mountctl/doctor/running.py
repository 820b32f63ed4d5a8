"""The supervisor and its mounts as they are now, by its status and events, and by the mountpoints. Rules; pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mountctl.doctor.facts import PathFacts
from mountctl.doctor.findings import Check, Finding, check

# Keys are renewed a quarter of an hour before they expire; whoever is later has failed to.
_EXPIRES_SECONDS: Final = 600
# One engine may die; more in an hour die of something.
_TAKEOVERS: Final = 3
_LATELY_SECONDS: Final = 3600
# Programs wait for this many at once only if nobody answers them: a session lets 64 be under way (session.py).
_WAITING: Final = 64

SUPERVISOR: Final = check(
    "supervisor",
    "error",
    "mounts of the file are made, watched and mended by it",
    "`systemctl start mountctl`, or `mountctl run`; then `mountctl status`",
)
SILENT: Final = check(
    "supervisor-silent",
    "error",
    "it is stuck, or stopped: nobody mends what breaks",
    "look at its log; `systemctl restart mountctl`: mounts live through it",
)
DENIED: Final = check(
    "supervisor-denied", "warning", "what runs can't be looked at", "be root, or a member of the group of control-group"
)
RELOAD: Final = check(
    "reload-refused",
    "warning",
    "the file says something else than what is in force",
    "mend the file (`mountctl check`), then `mountctl reload`",
)
POLLING: Final = check(
    "config-polling",
    "info",
    "the directory of the file tells nobody of changes, so they are heard of some seconds later",
    "nothing is to be done, or have the file on a local disk",
)
VERSION: Final = check(
    "version",
    "info",
    "another version runs than the one that is installed",
    "`systemctl restart mountctl` and `mountctl upgrade`: programs notice nothing",
)
NOT_IN_FORCE: Final = check(
    "not-in-force",
    "warning",
    "the file has a mount that the supervisor does not",
    "`mountctl plan`, then `mountctl reload`",
)
FAILED: Final = check(
    "mount-failed",
    "error",
    "programs have errors there, or find an empty directory",
    "mend what the sentence says; `mountctl logs NAME` has more, `mountctl restart NAME` tries again at once",
)
DEGRADED: Final = check(
    "mount-degraded",
    "error",
    "programs wait or have errors, as S3 can't be had",
    "mend what the sentence says; it goes on by itself when S3 can be had again",
)
PASSING: Final = check("mount-passing", "info", "this passes by itself", "wait: `mountctl wait NAME`")
HELD: Final = check("mount-held", "info", "an operator has stopped it", "`mountctl start NAME`")
TAKEOVERS: Final = check(
    "takeovers",
    "warning",
    "programs wait meanwhile, and uploads may break off; engines do not die by themselves",
    "`mountctl events NAME` says how they ended: killed for memory, lower memory-target or raise memory-max; else "
    "please report it with `mountctl doctor --bundle`",
)
LAST_ERROR: Final = check(
    "last-error",
    "info",
    "a program was told this failure as EIO or EACCES",
    "mend what the sentence says; `mountctl logs NAME` has those before",
)
KEYS: Final = check(
    "credentials-renewal",
    "error",
    "when the keys expire, S3 refuses everything",
    "mend what the sentence says (docs/reference/credentials.md); new keys are taken by themselves",
)
HIDDEN: Final = check(
    "mount-hidden",
    "warning",
    "programs see what was mounted later, and not the bucket",
    "unmount what lies above, or choose another mountpoint",
)
LIMITS: Final = check(
    "mount-limits",
    "warning",
    "the mount is served, and may take more of the host than it is to",
    "mend what the sentence says, or remove the option; `mountctl status NAME` tells when limits are in force",
)
NOT_MOUNTED: Final = check(
    "mount-away",
    "error",
    "programs find whatever directory is there, and write to the local disk",
    "`mountctl restart NAME`; who has unmounted it is in no log of ours",
)
UNRESPONSIVE: Final = check(
    "mount-silent",
    "error",
    "every program that touches the path hangs with it",
    "`mountctl restart NAME`; if there is no supervisor, start one: it takes over; `umount -l PATH` lets programs go",
)
DEAD: Final = check(
    "mount-dead",
    "error",
    "programs are told `Transport endpoint is not connected`",
    "start the supervisor, which mounts it anew; or `umount -l PATH`",
)
WAITING: Final = check(
    "mount-waiting",
    "warning",
    "more is asked than is answered: S3 is slow, or the engine is stuck",
    "`mountctl status NAME` twice: does it read? `mountctl logs NAME`; `mountctl restart NAME`",
)
_FAILING: Final = frozenset({"failed", "backoff", "stopped"})
_STATES: Final[Mapping[str, Check]] = {
    **dict.fromkeys(_FAILING, FAILED),
    "degraded": DEGRADED,
    **dict.fromkeys(("starting", "recovering", "draining"), PASSING),
    "held": HELD,
}


def of_status(
    status: Mapping[str, Any], declared: Collection[str], version: str, now: datetime, *, all_mounts: bool = True
) -> Iterator[Finding]:
    """What a supervisor tells.

    Args:
        status: its answer, as `status --json` prints it.
        declared: mounts of the file that are asked about.
        version: that is installed.
        now: with a time zone.
        all_mounts: not only some that were named.
    """
    supervisor = status["supervisor"]
    yield SUPERVISOR.ok(f"the supervisor (pid {supervisor['pid']}) answers")
    reload = supervisor["config"]["last_reload"]
    if not reload["ok"]:
        yield RELOAD.found(f"the last reload was refused: {'; '.join(reload['errors'])}")
    if supervisor["config"].get("watching") == "polling":
        yield POLLING.found("changes of the configuration are looked for, as the kernel tells of none")
    if supervisor["version"] != version:
        yield VERSION.found(f"the supervisor is of version {supervisor['version']}; {version} is installed")
    known = {mount["name"] for mount in status["mounts"]}
    if all_mounts and (missing := [name for name in declared if name not in known]):
        for name in missing:
            yield NOT_IN_FORCE.found("the supervisor has no such mount", name)
    for mount in status["mounts"]:
        if all_mounts or mount["name"] in declared:
            yield from _mount(mount, now)


def _mount(mount: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    name, state, reason = mount["name"], mount["state"], mount["reason"]
    told = f"{state}: {reason}" if reason else str(state)
    if state == "ready":
        yield FAILED.ok("ready", name)
    else:
        yield _STATES.get(state, PASSING).found(told, name)
    if mount.get("last_error"):
        yield LAST_ERROR.found(f"the last error: {mount['last_error']}", name)
    keys = mount["credentials"]
    left = None if keys["expires"] is None else (datetime.fromisoformat(keys["expires"]) - now).total_seconds()
    if keys["error"] or (left is not None and left < _EXPIRES_SECONDS):
        when = "" if left is None else f"the keys expire in {left:.0f} s" if left > 0 else "the keys have expired"
        yield KEYS.found("; ".join(each for each in (when, keys["error"]) if each), name)
    if trouble := (mount.get("slice") or {}).get("trouble"):
        yield LIMITS.found(f"it has not the limits that it asks for: {trouble}", name)
    waiting = (mount.get("session") or {}).get("waiting")
    if waiting is not None and waiting >= _WAITING:
        yield WAITING.found(f"{waiting} requests wait in the kernel for an answer", name)


def of_events(events: Sequence[Mapping[str, Any]], names: Collection[str], now: datetime) -> Iterator[Finding]:
    """Engines that were lost lately: a mount recovers from nothing else."""
    lost: dict[str, list[str]] = {}
    for event in events:
        age = (now - datetime.fromisoformat(event["at"])).total_seconds()
        if event["mount"] in names and event["state"] == "recovering" and age <= _LATELY_SECONDS:
            lost.setdefault(event["mount"], []).append(event["text"])
    for name, texts in lost.items():
        if len(texts) >= _TAKEOVERS:
            yield TAKEOVERS.found(f"{len(texts)} engines were lost within an hour; the last: {texts[-1]}", name)


def of_paths(paths: Sequence[PathFacts], states: Mapping[str, str]) -> Iterator[Finding]:
    """The mountpoints themselves. `states`: of mounts by name, as the supervisor has them; empty where none answers."""
    for path in paths:
        served = states.get(path.mount) in ("ready", "degraded")
        if path.answer == "silent":
            yield UNRESPONSIVE.found(f"{path.path} does not answer", path.mount)
        elif path.answer == "dead":
            yield DEAD.found(f"nobody serves {path.path} any more", path.mount)
        elif path.covered_by is not None:
            yield HIDDEN.found(f"{path.path} is hidden by {path.covered_by}", path.mount)
        elif served and not path.mounted:
            yield NOT_MOUNTED.found(f"nothing of ours is mounted at {path.path}", path.mount)
        elif path.mounted:
            yield UNRESPONSIVE.ok(f"{path.path} answers", path.mount)
