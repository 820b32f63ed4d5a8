"""A real systemd as PID 1 of throw-away namespaces, over an overlay of this host: for tests of units and protocol."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, TypeVar

from mountctl.supervisor.session import FSTYPE

SYSTEMD: Final = Path("/lib/systemd/systemd")
BOOT_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.02
_UNIFIED: Final = ""

T = TypeVar("T")


def lacking() -> str | None:
    """What this machine does not have for it; None if nothing."""
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if _cgroup2() is None:
        return "no cgroup2 file system is mounted"
    return None


class SystemdHost:
    """Boots in under a second; `run` executes inside. A context manager.

    Args:
        shared: directories of the host that are seen inside, writable, at their own paths.
        root: what it has otherwise, and changes for itself alone.
        target: the unit that is booted to. By default only what every target needs, as this machine's services have
            nothing to do in tests.
        limits: with controllers for memory and the like, also where this kernel has them in cgroup v1 only: then
            systemd has both versions (hybrid).
    """

    def __init__(
        self, *shared: Path, root: Path = Path("/"), target: str = "mountctl-tests.target", limits: bool = False
    ) -> None:
        self._shared = shared
        self._hierarchies = _older_hierarchies() if limits else {}
        self._settings = {"ROOT": str(root), "TARGET": target, "HIERARCHIES": " ".join(self._hierarchies)}

    def __enter__(self) -> Self:
        top = _cgroup2()
        assert top is not None
        parents = {_UNIFIED: top} | self._hierarchies
        self._cgroups = [parent / f"mountctl-tests-{os.getpid()}" for parent in parents.values()]
        self._work = Path(tempfile.mkdtemp(prefix="systemd-"))
        # What is changed inside outlives a boot, in a mount namespace that nobody else sees. It is to keep no copies of
        # mounts that there are by chance: their sessions would live as long.
        keep = (
            'umount --all --lazy --types "$2"; mount -t tmpfs -o size=1g,mode=755 tmpfs "$1" && '
            'mkdir "$1/upper" "$1/work" "$1/root" && echo && exec cat'
        )
        self._disk = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", keep, "sh", self._work, FSTYPE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._disk.stdout is not None
        assert self._disk.stdout.readline()
        self._log = (self._work.parent / f"{self._work.name}.log").open("w+")
        self._boot()
        return self

    def _boot(self) -> None:
        for group in self._cgroups:
            group.mkdir()
        inner = Path(__file__).with_name("systemd_root.sh")
        # The shell joins the control groups before it unshares, so that they are the roots of the new namespace.
        join = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
        unshare = ["unshare", "--pid", "--mount", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child=SIGKILL"]
        self._process = subprocess.Popen(
            [
                *("sh", "-c", join, "sh", *self._cgroups, "--"),
                *("nsenter", f"--target={self._disk.pid}", "--mount"),
                *unshare,
                *("--propagation", "private", "sh", inner, self._work),
                *self._shared,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | self._settings,
            start_new_session=True,
        )
        self._pid1 = self._poll(self._child)
        self._poll(self._is_up)

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._disk.communicate()
        self._log.close()
        Path(self._log.name).unlink()
        self._remove_groups()
        shutil.rmtree(self._work)

    def run(
        self, command: str, *, check: bool = True, seconds_max: float = BOOT_SECONDS_MAX
    ) -> subprocess.CompletedProcess[str]:
        """A shell command inside. Raises CalledProcessError, which has what it said, and TimeoutExpired."""
        enter = ("nsenter", f"--target={self._pid1}", "--mount", "--pid", "--ipc", "--uts", "--cgroup")
        # The directory of the tests' own temporary files is not there.
        environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
        done = subprocess.run(
            [*enter, "sh", "-c", command], capture_output=True, text=True, env=environment, timeout=seconds_max
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            error.add_note(done.stdout + done.stderr)
            raise error
        return done

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run(f"systemctl show --value --property={name} {unit}").stdout.strip()

    def wait_until(self, command: str) -> str:
        """What a command prints, once it succeeds."""

        def succeeded() -> subprocess.CompletedProcess[str] | None:
            done = self.run(command, check=False)
            return done if done.returncode == 0 else None

        return self._poll(succeeded).stdout

    def shut_down(self) -> None:
        """Power off, and wait for the end. Raises TimeoutExpired."""
        self.run("systemctl --no-block poweroff", check=False)
        self._process.wait(BOOT_SECONDS_MAX)

    def reboot(self) -> None:
        """Shut down in order, and boot anew with the same disk. Raises TimeoutExpired."""
        self.run("systemctl --no-block reboot", check=False)
        self._process.wait(BOOT_SECONDS_MAX)
        self._remove_groups()
        self._boot()

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Signal a process by its number inside."""
        self.run(f"kill -{int(number)} {pid}")

    def _remove_groups(self) -> None:
        for group in self._cgroups:
            for directory, _, _ in os.walk(group, topdown=False):
                self._poll(lambda directory=directory: _removed(directory), alive=False)

    def _child(self) -> int | None:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _is_up(self) -> bool:
        if Path(f"/proc/{self._pid1}/comm").read_text().strip() != "systemd":
            return False
        state = self.run("systemctl is-system-running --wait", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _poll(self, look: Callable[[], T | None], *, alive: bool = True) -> T:
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        while time.monotonic() < deadline:
            if alive and self._process.poll() is not None:
                raise RuntimeError(f"systemd ended: {Path(self._log.name).read_text()}")
            if found := look():
                return found
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"waited {BOOT_SECONDS_MAX:.0f} s; log: {Path(self._log.name).read_text()}")


def _cgroup2() -> Path | None:
    lines = map(str.split, Path("/proc/mounts").read_text(errors="surrogateescape").splitlines())
    return next((Path(fields[1]) for fields in lines if fields[2] == "cgroup2"), None)


def _older_hierarchies() -> dict[str, Path]:
    """Where this process is in each hierarchy of cgroup v1, by its controllers or its name."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path.lstrip("/")
    lines = map(str.split, Path("/proc/mounts").read_text(errors="surrogateescape").splitlines())
    mounted = [(Path(fields[1]), set(fields[3].split(","))) for fields in lines if fields[2] == "cgroup"]
    return {
        controllers: place / own[controllers]
        for place, options in mounted
        for controllers in own
        if controllers and set(controllers.split(",")) <= options
    }


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:  # its last process is still on the way out
        return False
    return True
