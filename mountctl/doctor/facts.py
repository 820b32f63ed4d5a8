"""What doctor's rules judge: facts as probes bring them, by JSON from processes of their own. No behaviour.

None and empty mean that it could not be learned, unless said otherwise; rules say nothing of what is not known.
"""

from pydantic import BaseModel, ConfigDict


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class Directory(_Facts):
    """A directory that a supervisor writes to.

    Args:
        path: it.
        exists: whether it is there.
        writable: by whoever asks.
        fstype: of the file system that it is on.
        free_bytes: there.
        others_write: everybody may write there.
    """

    path: str
    exists: bool = True
    writable: bool = True
    fstype: str = ""
    free_bytes: int | None = None
    others_write: bool = False


class HostFacts(_Facts):
    """The machine, as doctor's process sees it.

    Args:
        is_root: who asks is.
        kernel: its release, as uname(2) tells it.
        fuse_device: `ok`, or why /dev/fuse can't be opened.
        fuse_filesystem: the kernel has FUSE, built in or loaded.
        beneath: the kernel can put mounts beneath others.
        fusectl: it is mounted.
        request_timeout_seconds: the smaller of fs.fuse.default_request_timeout and max_request_timeout that is set.
        inotify_watches: fs.inotify.max_user_watches.
        inotify_instances: fs.inotify.max_user_instances.
        pid_max: kernel.pid_max.
        memory_bytes: the machine's.
        user_allow_other: /etc/fuse.conf has it.
        updatedb_conf: the text of /etc/updatedb.conf; None: there is none.
        has_updatedb: a program that would read it.
        private_mounts: this process has a mount namespace other than the first process's.
        directories: those of the runtime and the state.
    """

    is_root: bool = True
    kernel: str = ""
    fuse_device: str = "ok"
    fuse_filesystem: bool = True
    beneath: bool | None = None
    fusectl: bool = True
    request_timeout_seconds: int | None = None
    inotify_watches: int | None = None
    inotify_instances: int | None = None
    pid_max: int | None = None
    memory_bytes: int | None = None
    user_allow_other: bool = False
    updatedb_conf: str | None = None
    has_updatedb: bool = False
    private_mounts: bool | None = None
    directories: tuple[Directory, ...] = ()


class ServiceFacts(_Facts):
    """The supervisor's process and its unit.

    Args:
        pid: of the supervisor that holds the runtime directory; None: there is none.
        open_files: its hard limit; it raises its soft one.
        private_mounts: it has a mount namespace other than the first process's.
        memory_max_bytes: the smallest limit of its cgroup and those above.
        pids_max: likewise.
        systemd: systemd runs this host.
        unit: properties of its unit by name, as `systemctl show` tells them; empty: there is none.
    """

    pid: int | None = None
    open_files: int | None = None
    private_mounts: bool | None = None
    memory_max_bytes: int | None = None
    pids_max: int | None = None
    systemd: bool = False
    unit: dict[str, str] = {}


class PathFacts(_Facts):
    """A mountpoint, asked by a process of its own.

    Args:
        answer: `answers`, `dead` (nobody serves it any more) or `silent`.
        mounted: one of our mounts is on top there.
        covered_by: what is mounted over ours, or over a directory above.
    """

    mount: str
    path: str
    answer: str
    mounted: bool = False
    covered_by: str | None = None
