"""Live processes of the programs, by /proc: their command lines, and of their environment the names alone.

A mount is not touched. A process that a unit has started is the unit's, if that is there for nothing else.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mountctl.importing.command_lines import is_shell, mount_of, take_apart
from mountctl.importing.found import Found, Process, Unit, Unusable, User
from mountctl.importing.host import Host

_SERVICE: Final = re.compile(r"/([^/\n]+\.service)$", re.MULTILINE)
# They run what somebody has written into a script of theirs, and end before it does. To stop one, and to disable it, is
# to do more than to end a mount.
_OF_SCRIPTS: Final = frozenset(
    {
        *("rc-local.service", "rc.local.service"),
        *("cloud-init.service", "cloud-config.service", "cloud-final.service", "google-startup-scripts.service"),
    }
)
_BYTES_MAX: Final = 1024 * 1024
# Of the environment these say where S3 and its keys are; they are no secrets.
_READ: Final = frozenset(
    {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_ROLE_ARN",
    }
    | {
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_MAX_ATTEMPTS",
        "RCLONE_CONFIG",
        "AWS_ENDPOINT_URL",
    }
)


def of_host(host: Host) -> Iterator[Found | Unusable]:
    """The mounts of all live processes, by their numbers; of several processes of one mount the first.

    Those of containers are told to be none: a mount of theirs is at a path of theirs.
    """
    pids = sorted(int(each.name) for each in host.proc.iterdir() if each.name.isdigit())
    seen: set[str] = set()
    for pid in pids:
        found = of_process(pid, host)
        if isinstance(found, Found) and not _is_here(host.proc / str(pid)):
            yield Unusable(
                f"process {pid}", f"{found.program} runs in a container: what it mounts is none of this host's"
            )
        elif isinstance(found, Found) and found.mountpoint not in seen:
            seen.add(found.mountpoint)
            yield found


def of_process(pid: int, host: Host) -> Found | Unusable | None:
    """The mount of a process; None if it is of none of the programs, or has just ended."""
    place = host.proc / str(pid)
    words = _strings(place / "cmdline")
    command = take_apart(words) if words else None
    if command is None:
        return None
    variables = dict(each.partition("=")[::2] for each in _strings(place / "environ"))
    known = {name: value for name, value in variables.items() if name in _READ}
    service = _service(place, host)
    whole = type(command)(command.program, command.arguments, known)
    return mount_of(
        whole,
        f"process {pid}",
        way=Process(pid) if service is None else Unit(service),
        user=_user(place, host),
        unread=frozenset(variables) - _READ,
    )


def _is_here(place: Path) -> bool:
    """Whether a process has our root directory; also where nobody may know."""
    with contextlib.suppress(OSError):
        return os.path.samestat((place / "root").stat(), Path("/").stat())
    return True


def _strings(path: Path) -> list[str]:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return [each.decode(errors="surrogateescape") for each in file.read(_BYTES_MAX).split(b"\0") if each]
    return []


def _service(place: Path, host: Host) -> str | None:
    """The unit that a process is of; None if it is of somebody's session, or of a unit that does other things: cron."""
    text = _group(place)
    found = _SERVICE.search(text)
    if found is None or "/user.slice/" in text or found[1] in _OF_SCRIPTS:
        return None
    others = (each for each in host.proc.iterdir() if each.name.isdigit() and _group(each) == text)
    return found[1] if all(map(_is_of_mounts, others)) else None


def _group(place: Path) -> str:
    with contextlib.suppress(OSError):
        return (place / "cgroup").read_text()
    return ""


def _is_of_mounts(place: Path) -> bool:
    """Whether a process mounts, or is a shell that waits for what does; one that has ended is nothing else."""
    words = _strings(place / "cmdline")
    return not words or take_apart(words) is not None or is_shell(words[0])


def _user(place: Path, host: Host) -> User | None:
    with contextlib.suppress(OSError):
        for line in (place / "status").read_text(errors="replace").splitlines():
            if line.startswith("Uid:"):
                uid = line.split()[1]
                return None if uid == "0" else host.user(uid)
    return None
