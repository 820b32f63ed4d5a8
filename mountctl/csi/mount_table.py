"""Whether something is mounted at a path, by the kernel's list; the path itself is not touched, as that may hang."""

from mountctl.supervisor import mountinfo


def is_mounted(path: str) -> bool:
    """As this process sees it. In a pod that takes the node's mounts to be propagated to it (HostToContainer)."""
    return mountinfo.at(path) is not None
