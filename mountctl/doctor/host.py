"""The machine: FUSE, the kernel, limits, updatedb, directories. Rules; pure."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from engine.spec import MiB, MountSpec
from mountctl.doctor.facts import Directory, HostFacts
from mountctl.doctor.findings import Check, Finding, check

FSTYPE: Final = "fuse.mountctl"  # supervisor/session.py
# fsopen(2), fsmount(2), move_mount(2); FUSE_NOTIFY_RESEND; MOVE_MOUNT_BENEATH.
_MOUNT_API: Final = (5, 2)
_RESEND: Final = (6, 9)
_BENEATH: Final = (6, 5)
# An engine goes on trying to have S3's answer for so long (engine/s3/retry.py), and an upload's end takes as long.
S3_SECONDS_MAX: Final = 60
# The supervisor watches a file, its drop-ins and what they refer to: a handful each; half is left to others.
_INOTIFY_WATCHES: Final = 128
_INOTIFY_INSTANCES: Final = 16
# A mount has an engine and up to four fetchers; each is one process of one or a few threads.
PROCESSES_A_MOUNT: Final = 8
# Of a host that does nothing else.
PROCESSES_OF_HOST: Final = 1000
# State files are a few KiB a mount.
_FREE_BYTES: Final = 10 * MiB
_FLEETING: Final = ("tmpfs", "ramfs")

ROOT: Final = check(
    "root", "info", "some facts are shown to root only, so they are not judged", "run `mountctl doctor` as root"
)
FUSE_DEVICE: Final = check(
    "fuse-device",
    "error",
    "every mount is served through /dev/fuse",
    "`modprobe fuse`; in a container, give it the device (`--device /dev/fuse`) and CAP_SYS_ADMIN",
)
FUSE_MODULE: Final = check(
    "fuse-module", "error", "without FUSE the kernel can make no mount", "`modprobe fuse`, and load it at boot"
)
MOUNT_API: Final = check(
    "kernel-mount-api", "error", "mounts are made with fsopen(2) and move_mount(2)", "use Linux 5.2 or newer"
)
RESEND: Final = check(
    "kernel-resend",
    "info",
    "when an engine dies, requests that it had read end with EINTR, and most programs repeat them, but not all",
    "use Linux 6.9 or newer, where the kernel sends them again and programs notice nothing",
)
BENEATH: Final = check(
    "kernel-beneath",
    "info",
    "when a session is replaced, its path is without a mount for about a millisecond",
    "use Linux 6.5 or newer",
)
FUSECTL: Final = check(
    "fusectl",
    "warning",
    "without it nobody can tell how many requests wait in the kernel, nor end those of a mount that hangs",
    "`mount -t fusectl none /sys/fs/fuse/connections`; systemd does it at boot",
)
REQUEST_TIMEOUT: Final = check(
    "fuse-request-timeout",
    "error",
    f"the kernel ends the whole mount when one request takes longer, and S3 is waited for up to {S3_SECONDS_MAX} s",
    "set fs.fuse.default_request_timeout and fs.fuse.max_request_timeout to 0, or to more than 120 (sysctl.d)",
)
INOTIFY: Final = check(
    "inotify",
    "warning",
    "changes of the configuration are heard of by inotify; without it the files are read again and again",
    f"set fs.inotify.max_user_watches and max_user_instances to at least {_INOTIFY_WATCHES} and {_INOTIFY_INSTANCES}",
)
PID_MAX: Final = check(
    "pid-max",
    "warning",
    "each mount has an engine and may have fetchers; where no process can be made, none takes over from a dead one",
    "raise kernel.pid_max (sysctl.d)",
)
ALLOW_OTHER: Final = check(
    "user-allow-other",
    "info",
    "user_allow_other binds users who mount by fusermount3, not root",
    "nothing is to be done",
)
UPDATEDB: Final = check(
    "updatedb",
    "warning",
    "the daily updatedb of locate(1) lists every directory of the mounts: S3 charges for each listing",
    f"add {FSTYPE} to PRUNEFS in /etc/updatedb.conf, or the mountpoints to PRUNEPATHS",
)
DIRECTORY: Final = check(
    "directory",
    "error",
    "the supervisor keeps its socket and what later runs need there",
    "make the directory, writable by root: `install -d -m 755 PATH`, on a disk that is not full",
)
DIRECTORY_OPEN: Final = check(
    "directory-open",
    "error",
    "anybody could put something in the supervisor's place",
    "`chmod 755 PATH; chown root PATH`",
)
STATE_FLEETING: Final = check(
    "state-fleeting",
    "info",
    "what is in memory is lost at a reboot: `mountctl stop` and the last configuration that was good",
    "have --state-dir on a disk",
)


def judge(facts: HostFacts, mounts: Sequence[MountSpec]) -> Iterator[Finding]:
    """Everything about the machine."""
    if not facts.is_root:
        yield ROOT.found("this is not root: some facts can't be seen")
    yield from _fuse(facts)
    yield from _kernel(facts)
    yield from _limits(facts, mounts)
    if any(spec.allow_other for spec in mounts):
        yield ALLOW_OTHER.ok("allow-other needs no user_allow_other in /etc/fuse.conf, as mounts are made by root")
    yield from _updatedb(facts, mounts)
    for directory in facts.directories:
        yield from _directory(directory)


def _fuse(facts: HostFacts) -> Iterator[Finding]:
    if facts.fuse_device != "ok":
        yield FUSE_DEVICE.found(f"/dev/fuse can't be used: {facts.fuse_device}")
    else:
        yield FUSE_DEVICE.ok("/dev/fuse can be opened")
    if not facts.fuse_filesystem:
        yield FUSE_MODULE.found("the kernel has no file system `fuse` (/proc/filesystems)")
    yield FUSECTL.ok("fusectl is mounted") if facts.fusectl else FUSECTL.found("fusectl is not mounted")
    seconds = facts.request_timeout_seconds
    if seconds is not None and seconds <= 2 * S3_SECONDS_MAX:
        yield REQUEST_TIMEOUT.found(f"the kernel lets a request of FUSE take {seconds} s (fs.fuse.*_request_timeout)")


def _kernel(facts: HostFacts) -> Iterator[Finding]:
    version = kernel_version(facts.kernel)
    if version is None:
        return
    if version < _MOUNT_API:
        yield MOUNT_API.found(f"Linux {facts.kernel} has no fsopen(2)")
        return
    yield MOUNT_API.ok(f"Linux {facts.kernel}")
    if version < _RESEND:
        yield RESEND.found(f"Linux {facts.kernel} does not send requests of a dead engine again")
    if not (version >= _BENEATH if facts.beneath is None else facts.beneath):
        yield BENEATH.found(f"Linux {facts.kernel} can't put a mount beneath another")


def kernel_version(release: str) -> tuple[int, int] | None:
    """Its two first numbers; None if it has none."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else None


def _limits(facts: HostFacts, mounts: Sequence[MountSpec]) -> Iterator[Finding]:
    few = [
        f"{name} is {value}"
        for name, value, least in (
            ("fs.inotify.max_user_watches", facts.inotify_watches, _INOTIFY_WATCHES),
            ("fs.inotify.max_user_instances", facts.inotify_instances, _INOTIFY_INSTANCES),
        )
        if value is not None and value < least
    ]
    if few:
        yield INOTIFY.found(" and ".join(few))
    needed = PROCESSES_OF_HOST + PROCESSES_A_MOUNT * len(mounts)
    if facts.pid_max is not None and facts.pid_max < needed:
        yield PID_MAX.found(
            f"kernel.pid_max is {facts.pid_max}; with {len(mounts)} mounts up to {needed} may be needed"
        )


def _updatedb(facts: HostFacts, mounts: Sequence[MountSpec]) -> Iterator[Finding]:
    if not facts.has_updatedb or not mounts:
        return
    settings = parse_updatedb(facts.updatedb_conf or "")
    if FSTYPE in {each.lower() for each in settings.get("PRUNEFS", ())}:
        yield UPDATEDB.ok(f"updatedb passes by file systems of type {FSTYPE}")
        return
    pruned = [PurePosixPath(each) for each in settings.get("PRUNEPATHS", ())]
    walked = [
        spec.mountpoint
        for spec in mounts
        if not any(PurePosixPath(spec.mountpoint).is_relative_to(path) for path in pruned)
    ]
    if walked:
        more = f" and {len(walked) - 1} more" if len(walked) > 1 else ""
        yield UPDATEDB.found(f"updatedb walks through {walked[0]}{more}")
    else:
        yield UPDATEDB.ok("updatedb passes by the mountpoints")


def parse_updatedb(text: str) -> dict[str, tuple[str, ...]]:
    """The lists of updatedb.conf(5): NAME = "VALUE VALUE". What is no such line is passed by."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or name.lstrip().startswith("#"):
            continue
        try:
            words = shlex.split(value, comments=True)
        except ValueError:
            continue
        found[name.strip()] = tuple(word for each in words for word in each.split())
    return found


def _directory(directory: Directory) -> Iterator[Finding]:
    wrong: tuple[Check, str] | None = None
    if not directory.exists:
        return  # it is made at the supervisor's start
    if not directory.writable:
        wrong = DIRECTORY, f"{directory.path} can't be written"
    elif directory.free_bytes is not None and directory.free_bytes < _FREE_BYTES:
        wrong = DIRECTORY, f"{directory.path} has {directory.free_bytes // 1024} KiB left"
    elif directory.others_write:
        wrong = DIRECTORY_OPEN, f"everybody may write to {directory.path}"
    yield wrong[0].found(wrong[1]) if wrong else DIRECTORY.ok(f"{directory.path} can be written")
    if directory.fstype in _FLEETING and not directory.path.startswith("/run/"):
        yield STATE_FLEETING.found(f"{directory.path} is in memory ({directory.fstype})")
