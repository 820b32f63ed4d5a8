"""Where on a host mounts of other programs are declared, and who its users are. Read by all that look for them.

Another `Host` than this one is for tests.
"""

import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mountctl.importing.found import User


def _user(name: str) -> User:
    """A user by its name or number; without numbers if this host has none."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        return User(name, uid=int(name) if name.isdigit() else None)
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


@dataclass(frozen=True)
class Host:
    """A host to look at.

    Args:
        fstab: its fstab.
        units: directories of systemd's units, the most important first.
        proc: its processes.
        user: finds a user.
        is_file: whether there is a file; asked of files of credentials and configuration only.
    """

    fstab: Path = Path("/etc/fstab")
    units: tuple[Path, ...] = tuple(
        Path(each)
        for each in (
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/lib/systemd/system",
        )
    )
    proc: Path = Path("/proc")
    user: Callable[[str], User] = _user
    is_file: Callable[[str], bool] = lambda path: Path(path).is_file()
