"""How the mount that was there before is stopped for good, and how it comes back. Called by switch.py and plan.py.

A line of fstab is commented out, with a copy of the file beside it; a unit is stopped and disabled; a bare process is
unmounted, and its call is kept in memory until it is known that nobody needs it again.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from mountctl.errors import MountctlError
from mountctl.importing import processes
from mountctl.importing.found import Found, FstabLine, Process, Unit
from mountctl.importing.host import Host
from mountctl.supervisor import mountinfo

# Programs upload what was written before they end; a stop of a unit waits 90 s at most (systemd's default).
STOP_SECONDS_MAX: Final = 120.0
_POLL_SECONDS: Final = 0.1
_SYSTEMD: Final = Path("/run/systemd/system")
# In front of a line that is out of force.
MARK: Final = "# by mountctl import: "


class CannotStop(MountctlError):
    """What was there before can't be stopped, and goes on; the text says why."""


class Previous(Protocol):
    """The mount that was there before."""

    def steps(self) -> Iterator[str]:
        """What stop() does, as commands for a person."""

    def stop(self) -> None:
        """Unmount it, and keep it so over a reboot. Raises CannotStop, and has changed nothing then."""

    def bring_back(self) -> None:
        """Undo stop(), as far as it came. Raises CannotStop."""


def previous(found: Found, host: Host) -> Previous:
    """How the mount that was found is stopped."""
    place = _place(found.mountpoint)
    match found.way:
        case FstabLine():
            return _Line(found.way, place, host)
        case Unit():
            return _OfUnit(found.way.name, place, host)
        case Process():
            return _OfProcess(place, host, found.way.pid)
        case None:
            return _OfProcess(place, host)


def _place(mountpoint: str) -> str:
    """A mountpoint as the kernel has it, which knows no slash at its end and no link. What is mounted there is not
    touched, as it may hang.
    """
    plain = str(PurePosixPath("/", *PurePosixPath(mountpoint).parts[1:]))
    return plain if mountinfo.at(plain) is not None else os.path.realpath(plain)


def run(*command: str) -> None:
    """Run a command of the host's. Raises CannotStop with what it says."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=STOP_SECONDS_MAX, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise CannotStop(f"`{' '.join(command)}` took longer than {STOP_SECONDS_MAX:.0f} s") from error
    except OSError as error:
        raise CannotStop(f"cannot run {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise CannotStop(f"`{' '.join(command)}` failed: {said}")


def wait_until_gone(mountpoint: str, host: Host) -> None:
    """Until nothing is mounted there, and the process that served it has ended. Raises CannotStop."""
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while mountinfo.at(mountpoint) is not None or serving(mountpoint, host):
        if time.monotonic() > deadline:
            raise CannotStop(
                f"what served {mountpoint} has not ended within {STOP_SECONDS_MAX:.0f} s: it may still upload"
            )
        time.sleep(_POLL_SECONDS)


def serving(mountpoint: str, host: Host) -> list[int]:
    """Processes that serve a mount of one of the programs there, as the kernel has it."""
    return [
        int(each.origin.partition(" ")[2])
        for each in processes.of_host(host)
        if isinstance(each, Found) and _place(each.mountpoint) == mountpoint
    ]


def _unmount(mountpoint: str) -> bool:
    """Whether there was anything to unmount."""
    there = mountinfo.at(mountpoint)
    if there is None or there.fstype == "autofs":
        return False
    run("umount", mountpoint)
    return True


@dataclass
class _OfUnit:
    name: str
    mountpoint: str
    host: Host
    _was_enabled: bool = False

    def steps(self) -> Iterator[str]:
        yield shlex.join(["systemctl", "disable", "--now", self.name])

    def stop(self) -> None:
        self._was_enabled = _says_enabled(self.name)
        try:
            run("systemctl", "stop", self.name)
            _unmount(self.mountpoint)  # a unit without ExecStop leaves a daemon behind
            wait_until_gone(self.mountpoint, self.host)
            if self._was_enabled:
                run("systemctl", "disable", self.name)
        except BaseException:  # somebody who does not want to wait any more, too
            self.bring_back()
            raise

    def bring_back(self) -> None:
        if self._was_enabled:
            run("systemctl", "enable", self.name)
        run("systemctl", "start", self.name)


@dataclass
class _OfProcess:
    mountpoint: str
    host: Host
    pid: int | None = None
    _was_mounted: bool = False
    _call: list[bytes] = field(default_factory=list, repr=False)
    _environment: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    _user: tuple[int, int] = (0, 0)

    def steps(self) -> Iterator[str]:
        yield f"umount {shlex.quote(self.mountpoint)}"
        yield "(see what starts it, a script or crontab perhaps, and take it out there)"

    def stop(self) -> None:
        self._remember()
        self._was_mounted = mountinfo.at(self.mountpoint) is not None
        try:
            if _unmount(self.mountpoint):
                wait_until_gone(self.mountpoint, self.host)
        except BaseException:
            self.bring_back()
            raise

    def bring_back(self) -> None:
        if not self._call or not self._was_mounted or mountinfo.at(self.mountpoint) is not None:
            return
        uid, gid = self._user
        try:
            subprocess.Popen(
                self._call,
                env=self._environment,
                cwd="/",
                user=uid,
                group=gid,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStop(f"cannot start {os.fsdecode(self._call[0])} again: {error.strerror}") from error
        _wait_until_mounted(self.mountpoint)

    def _remember(self) -> None:
        pids = [self.pid] if self.pid is not None else serving(self.mountpoint, self.host)
        if not pids:
            return
        place = self.host.proc / str(pids[0])
        try:
            self._call = (place / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            variables = (place / "environ").read_bytes().split(b"\0")
            owner = place.stat()
        except OSError as error:
            raise CannotStop(f"process {pids[0]} has just ended: look again") from error
        self._environment = dict(each.partition(b"=")[::2] for each in variables if b"=" in each)
        self._user = (owner.st_uid, owner.st_gid)


@dataclass
class _Line:
    way: FstabLine
    mountpoint: str
    host: Host
    _was_mounted: bool = False
    _automount: str | None = None
    _is_out: bool = False

    def steps(self) -> Iterator[str]:
        yield f"umount {shlex.quote(self.mountpoint)}"
        yield f"put a # in front of line {self.way.line} of {self.way.path}"
        if _SYSTEMD.exists():
            yield "systemctl daemon-reload"

    def stop(self) -> None:
        self._changed(self.way.text, f"{MARK}{self.way.text}")  # raises before anything is done if it is not there
        try:
            there = mountinfo.at(self.mountpoint)
            self._was_mounted = there is not None and there.fstype != "autofs"
            _unmount(self.mountpoint)
            there = mountinfo.at(self.mountpoint)
            if there is not None and there.fstype == "autofs":
                self._automount = _automount_unit(self.mountpoint)
                run("systemctl", "stop", self._automount)
            wait_until_gone(self.mountpoint, self.host)
            self._write(self._changed(self.way.text, f"{MARK}{self.way.text}"))
            self._is_out = True
            _reload_systemd()
        except BaseException:
            self.bring_back()
            raise

    def bring_back(self) -> None:
        if self._is_out:
            self._write(self._changed(f"{MARK}{self.way.text}", self.way.text))
            self._is_out = False
            _reload_systemd()
        if self._automount is not None:
            run("systemctl", "start", self._automount)
        if self._was_mounted and mountinfo.at(self.mountpoint) is None:
            run("mount", "-T", str(self.way.path), self.mountpoint)
            _wait_until_mounted(self.mountpoint)

    def _changed(self, old: str, new: str) -> list[str]:
        """The lines with one of them replaced: that of our number, if nobody has moved it."""
        try:
            lines = self.way.path.read_text(errors="surrogateescape").split("\n")
        except OSError as error:
            raise CannotStop(f"cannot read {self.way.path}: {error.strerror}") from error
        number = self.way.line - 1
        if not (number < len(lines) and lines[number] == old):
            raise CannotStop(f"line {self.way.line} of {self.way.path} is another by now: look again")
        return [*lines[:number], new, *lines[number + 1 :]]

    def _write(self, lines: list[str]) -> None:
        """The new fstab in place of the old, of which a copy is kept: the first one is never overwritten."""
        path = self.way.path
        copy = path.with_name(f"{path.name}.before-mountctl")
        temporary = path.with_name(f".{path.name}.mountctl")
        try:
            before, mode = path.read_bytes(), path.stat()
            if not copy.exists():
                copy.write_bytes(before)
                copy.chmod(mode.st_mode & 0o7777)
            with temporary.open("w", errors="surrogateescape") as file:
                file.write("\n".join(lines))
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode.st_mode & 0o7777)
            os.chown(temporary, mode.st_uid, mode.st_gid)
            temporary.rename(path)
        except OSError as error:
            raise CannotStop(f"cannot write {path}: {error.strerror}") from error


def _says_enabled(unit: str) -> bool:
    try:
        return subprocess.run(["systemctl", "is-enabled", "--quiet", unit], check=False).returncode == 0
    except OSError:
        return False  # there is no systemd: to stop the unit fails, and says so


def _reload_systemd() -> None:
    if _SYSTEMD.exists():
        run("systemctl", "daemon-reload")


def _automount_unit(mountpoint: str) -> str:
    done = subprocess.run(
        ["systemd-escape", "--path", "--suffix=automount", mountpoint], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _wait_until_mounted(mountpoint: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while mountinfo.at(mountpoint) is None:
        if time.monotonic() > deadline:
            raise CannotStop(f"the old mount at {mountpoint} did not come back within {STOP_SECONDS_MAX:.0f} s")
        time.sleep(_POLL_SECONDS)
