"""What is mounted at a path, by the kernel's list; the path itself is not touched, as that may hang.

In a pod that takes the node's mounts to be propagated to it (HostToContainer). Where they are not, nothing seems to be
mounted, and the supervisor is asked.
"""

from typing import Final, Protocol

from mountctl.supervisor import mountinfo

# supervisor/session.py has it too, beside the code that mounts, which has no place in this process.
FSTYPE: Final = "fuse.mountctl"


class MountTable(Protocol):
    """What is mounted, as this process sees it."""

    def is_mounted(self, path: str) -> bool:
        """Whether anything is."""

    def is_ours(self, path: str) -> bool:
        """Whether it is of a kind that the supervisor may have mounted."""


class KernelMounts:
    """What the kernel lists."""

    def is_mounted(self, path: str) -> bool:
        """Whether anything is."""
        return mountinfo.at(path) is not None

    def is_ours(self, path: str) -> bool:
        """Whether it is of the supervisor's kind."""
        entry = mountinfo.at(path)
        return entry is not None and entry.fstype == FSTYPE
