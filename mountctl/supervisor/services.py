"""What every mount's task needs of the supervisor, in one object. Made by supervisor.py, used by mount.py."""

from collections.abc import Callable
from dataclasses import dataclass

from mountctl.supervisor.access import AccessHub
from mountctl.supervisor.events import Events
from mountctl.supervisor.fdstore import FdStore
from mountctl.supervisor.leftovers import Leftovers
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.mounts_file import MountsFile
from mountctl.supervisor.slices.slices import Slices
from mountctl.supervisor.zygote import Zygote


@dataclass(frozen=True, slots=True)
class Services:
    """The supervisor's side of a mount."""

    zygote: Zygote
    access: AccessHub
    fds: FdStore
    noted: MountsFile
    leftovers: Leftovers
    changed: Callable[[], None]  # called after each change of a state
    leaving: Callable[[], bool]  # a supervisor comes after this one: what is mounted stays, for it
    events: Events
    logs: Logs
    slices: Slices
    left: set[int]  # processes of engines that are left to it
