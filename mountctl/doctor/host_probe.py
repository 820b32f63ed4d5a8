"""Reads the facts of the machine and of the supervisor's process: `python -m mountctl.doctor.host_probe DIRECTORY...`.

Started by probing.py, in a process of its own: paths may hang. Prints HostFacts and ServiceFacts, one JSON line each.
Arguments: the runtime directory, then the state directory. Writes nothing.
"""

import contextlib
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from mountctl.doctor.facts import Directory, HostFacts, ServiceFacts
from mountctl.doctor.service import PROPERTIES
from mountctl.supervisor import abilities, fusectl, mountinfo
from mountctl.supervisor.systemd import own_unit

_UNIT: Final = "mountctl.service"
# How a supervisor is called: by its own name, or by the helper's for a line of fstab.
_CALLED: Final = ("mountctl", "mount.mountctl")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_SYSTEMCTL_SECONDS_MAX: Final = 3.0
# Of configuration files of others; those of Debian have a few lines.
_TEXT_BYTES_MAX: Final = 64 * 1024


def main(arguments: list[str]) -> int:
    """Print the facts. Returns the exit code."""
    runtime, state = (Path(each) for each in arguments)
    pid = supervisor_pid(runtime)
    sys.stdout.write(host((runtime, state)).model_dump_json() + "\n")
    sys.stdout.write(service(pid).model_dump_json() + "\n")
    return 0


def host(directories: tuple[Path, ...]) -> HostFacts:
    """The machine."""
    timeouts = [
        seconds
        for name in ("default_request_timeout", "max_request_timeout")
        if (seconds := _number(f"/proc/sys/fs/fuse/{name}"))
    ]
    return HostFacts(
        is_root=os.geteuid() == 0,
        kernel=os.uname().release,
        fuse_device=_fuse_device(),
        fuse_filesystem="\tfuse\n" in (_text("/proc/filesystems") or "\tfuse\n"),
        beneath=abilities.beneath(),
        fusectl=any(entry.mountpoint == str(fusectl.CONNECTIONS) for entry in mountinfo.entries()),
        request_timeout_seconds=min(timeouts, default=None),
        inotify_watches=_number("/proc/sys/fs/inotify/max_user_watches"),
        inotify_instances=_number("/proc/sys/fs/inotify/max_user_instances"),
        pid_max=_number("/proc/sys/kernel/pid_max"),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        user_allow_other="user_allow_other" in (_text("/etc/fuse.conf") or "").splitlines(),
        updatedb_conf=_text("/etc/updatedb.conf"),
        has_updatedb=any(shutil.which(each) for each in ("updatedb", "updatedb.plocate", "updatedb.mlocate")),
        private_mounts=_has_private_mounts("self"),
        directories=tuple(_directory(each) for each in directories),
    )


def _fuse_device() -> str:
    try:
        if not stat.S_ISCHR(os.stat("/dev/fuse").st_mode):
            return "it is no device"
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return "ok"


def service(pid: int | None) -> ServiceFacts:
    """The supervisor's process and its unit."""
    unit = own_unit(_text(f"/proc/{pid}/cgroup") or "") if pid else None
    systemd = Path("/run/systemd/system").is_dir()
    cgroups = _cgroups(pid or os.getpid())
    return ServiceFacts(
        pid=pid,
        open_files=_open_files(pid),
        private_mounts=_has_private_mounts(str(pid)) if pid else None,
        memory_max_bytes=min((n for each in cgroups if (n := _number(each / "memory.max"))), default=None),
        pids_max=min((n for each in cgroups if (n := _number(each / "pids.max"))), default=None),
        systemd=systemd,
        unit=_properties(unit or _UNIT) if systemd else {},
    )


def supervisor_pid(runtime: Path) -> int | None:
    """Of the supervisor that holds a runtime directory, by what it wrote into its lock, if that process lives."""
    written = (_text(runtime / "lock") or "").strip()
    # Of one that was killed the number may be any program's by now, whose environment is nobody's business.
    called = (_text(f"/proc/{written}/cmdline") or "").split("\0") if written.isdecimal() else []
    return int(written) if any(os.path.basename(word) in _CALLED for word in called) else None


def _properties(unit: str) -> dict[str, str]:
    command = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SYSTEMCTL_SECONDS_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, equals, value in pairs if equals}


def _open_files(pid: int | None) -> int | None:
    """The hard limit."""
    if pid is None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return None if hard == resource.RLIM_INFINITY else hard
    for line in (_text(f"/proc/{pid}/limits") or "").splitlines():
        if line.startswith("Max open files"):
            hard_text = line.split()[4]
            return int(hard_text) if hard_text.isdecimal() else None
    return None


def _has_private_mounts(pid: str) -> bool | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/1/ns/mnt")
    except OSError:
        return None


def _cgroups(pid: int) -> list[Path]:
    """The control group (v2) of a process and those above."""
    for line in (_text(f"/proc/{pid}/cgroup") or "").splitlines():
        if line.startswith("0::/") and ".." not in line:
            path = Path(line.removeprefix("0::/"))
            return [_CGROUPS / each for each in (path, *path.parents)]
    return []


def _directory(path: Path) -> Directory:
    try:
        found = path.stat()
        room = os.statvfs(path)
    except OSError:
        return Directory(path=str(path), exists=False)
    there = [entry for entry in mountinfo.entries() if path.is_relative_to(entry.mountpoint)]
    return Directory(
        path=str(path),
        writable=os.access(path, os.W_OK),
        fstype=max(there, key=lambda entry: len(entry.mountpoint)).fstype if there else "",
        free_bytes=room.f_bavail * room.f_frsize,
        others_write=bool(found.st_mode & stat.S_IWOTH),
    )


def _number(path: str | Path) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _text(path: str | Path) -> str | None:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read(_TEXT_BYTES_MAX)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
