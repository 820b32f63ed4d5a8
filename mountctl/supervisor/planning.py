"""What a reload would do, told before it is done: for `mountctl plan`. Pure reading; called by daemon.py.

Reads the file as a reload does (`Supervisor.planned`), so that both see the same, and touches nothing.
"""

from typing import Any

from engine.spec import MountSpec
from mountctl import plan as contract
from mountctl.config.classes import ChangeClass
from mountctl.config.diff import Change
from mountctl.config.model import Config
from mountctl.supervisor import abilities
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.replacing import DRAIN_SECONDS_MAX
from mountctl.supervisor.state import SERVED
from mountctl.supervisor.steps import WRITTEN_SECONDS_MAX
from mountctl.supervisor.supervisor import Supervisor
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.wanted import Refusal


async def plan(supervisor: Supervisor) -> contract.Plan:
    """What a reload would do now to each mount, by its class; or why it would be refused."""
    try:
        planned = await supervisor.planned()
    except Refusal as refusal:
        return contract.Plan(errors=list(refusal.problems))
    mounts = [
        _told(each, supervisor.mounts.get(each.name), _waits(supervisor, each.name, planned.config))
        for each in planned.changes.values()
    ]
    return contract.Plan(risks=list(planned.risks), mounts=mounts)


def _waits(supervisor: Supervisor, name: str, config: Config) -> str:
    """What of a volume would not be changed, as it has consumers."""
    try:
        keys = supervisor.volumes.roster.waiting(name, config)
    except CannotApply as error:
        return f"; it goes on as it runs: {error}"
    return f"; {', '.join(keys)} changes when nobody uses it any more" if keys else ""


def _told(change: Change, mount: Mount | None, waits: str) -> contract.MountPlan:
    keys = [
        contract.KeyChange(key=key, before=_value(change.before, key), after=_value(change.after, key))
        for key in change.keys
    ]
    return contract.MountPlan(
        name=change.name, action=change.kind.value, keys=keys, notice=notice(change, mount) + waits
    )


def _value(spec: MountSpec | None, key: str) -> Any:
    if spec is None:
        return None
    value = contract.shown(spec.model_dump(mode="json", by_alias=True)[key])
    # As people write them: 493 says nothing to anybody.
    return f"{value:04o}" if key in ("dir-mode", "file-mode") else value


def notice(change: Change, mount: Mount | None) -> str:
    """What programs would notice of a change, in a sentence."""
    if change.kind is ChangeClass.NOTHING:
        return "nothing: it is not touched"
    if change.kind is ChangeClass.ADD:
        return f"{change.wanted.source} appears at {change.wanted.mountpoint} when S3 has answered"
    if mount is None or mount.state not in SERVED:
        return f"nothing: it is not mounted now, but {'gone' if mount is None else mount.state}"
    match change.kind:
        case ChangeClass.REMOVE:
            return (
                f"it goes from {mount.spec.mountpoint}, when files that are being written are complete, after "
                f"{WRITTEN_SECONDS_MAX:.0f} s at most; files that are open then fail with ENOTCONN"
            )
        case ChangeClass.LIVE:
            return "nothing: it is taken while the mount is served"
        case ChangeClass.HANDOVER:
            return "nothing but a short wait: another engine serves the same mount, files stay open"
        case _ if change.blocked:
            return (
                f"it goes from {mount.spec.mountpoint} and is mounted anew at {change.wanted.mountpoint}, where "
                "another mount is until then; files that are open fail with ENOTCONN"
            )
        case ChangeClass.MOVE:
            return f"it is at {change.wanted.mountpoint}, and no longer at {mount.spec.mountpoint}; files stay open"
        case _:
            gap = "" if abilities.beneath() else ", about a millisecond after the old one is gone"
            return (
                f"another mount takes its place once S3 has answered{gap}; files that are open stay with the old one "
                f"for at most {DRAIN_SECONDS_MAX / 60:.0f} minutes, and then fail with ENOTCONN"
            )
