"""The supervisor's process and its systemd unit: limits, sandboxing, memory. Rules; pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.spec import MiB, MountSpec
from mountctl.doctor.facts import HostFacts, ServiceFacts
from mountctl.doctor.findings import Finding, check
from mountctl.doctor.host import PROCESSES_A_MOUNT
from mountctl.supervisor.slices.units import asked

# docs/concepts/sessions.md: five descriptors a mount are kept.
_STORED_A_MOUNT: Final = 5
# A supervisor's own (log, sockets, watches), and of each mount: its session, journal, link, pidfd, log, and a stored
# copy while it begins. An engine's connections to S3 are bounded by its own limit, and are 128 at most.
_FILES: Final = 256
_FILES_A_MOUNT: Final = 10
# Beside memory-target: what the option's description says.
_ENGINE_BYTES: Final = 64 * MiB
# Programs need some of a machine, too.
_SHARE_OF_MEMORY: Final = 0.8
# systemd.exec(5): what gives a service a mount namespace of its own, and so hides its mounts from everybody else.
# Values that mean no, of each.
_OFF: Final = frozenset({"", "no", "false", "default", "[not set]"})
HIDING: Final = (
    *("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC", "PrivateUsers"),
    *("ProtectKernelModules", "ProtectKernelLogs", "ProtectKernelTunables", "ProtectControlGroups", "ProtectProc"),
    *("ProcSubset", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "BindPaths", "BindReadOnlyPaths"),
    *("TemporaryFileSystem", "LogNamespace", "DynamicUser", "RootDirectory", "RootImage", "MountImages"),
)
_PLAIN: Final = {"ProcSubset": "all"}
PROPERTIES: Final = ("LoadState", "Type", "NotifyAccess", "Restart", "KillMode", "FileDescriptorStoreMax", *HIDING)

UNIT: Final = check(
    "unit",
    "info",
    "systemd restarts a supervisor that dies, and keeps what the next one needs",
    "run `mountctl run` as mountctl.service",
)
FDSTORE: Final = check(
    "unit-fdstore",
    "warning",
    "mounts outlive their supervisor by descriptors that systemd keeps: five a mount",
    "set FileDescriptorStoreMax= in the unit to at least five times the number of mounts",
)
KILLMODE: Final = check(
    "unit-killmode",
    "warning",
    "when the supervisor dies, systemd kills its engines too: programs wait longer, and what is being written is lost",
    "set KillMode=process in the unit, as ours has it: engines end by themselves when the service is stopped",
)
SANDBOX: Final = check(
    "unit-sandbox",
    "error",
    "with it systemd gives the supervisor mounts of its own, and nobody else sees what it mounts",
    "remove it from the unit (drop-ins, too: `systemctl cat mountctl`), then restart the service",
)
UNIT_TYPE: Final = check(
    "unit-type",
    "warning",
    "units after this one start before its mounts are there",
    "set Type=notify in the unit",
)
UNIT_RESTART: Final = check(
    "unit-restart",
    "warning",
    "after a crash nobody looks after the mounts until somebody starts the service",
    "set Restart=always in the unit",
)
HIDDEN_SUPERVISOR: Final = check(
    "supervisor-namespace",
    "error",
    "what the supervisor mounts is seen in its own mount namespace only",
    "start it where the programs are: remove sandboxing from its unit, `unshare -m` from its script; in a container, "
    "use mount propagation (rshared)",
)
OPEN_FILES: Final = check(
    "open-files",
    "warning",
    "a supervisor that can't open another file can't serve another mount, nor replace a dead engine",
    "raise LimitNOFILE= in the unit, or `ulimit -Hn`",
)
MEMORY: Final = check(
    "memory",
    "warning",
    "when all mounts are busy they may take as much, and the kernel ends processes where there is no more",
    "lower memory-target of mounts that do not need it",
)
CGROUP_MEMORY: Final = check(
    "cgroup-memory",
    "warning",
    "when mounts need more than their control group may have, the kernel ends engines",
    "raise MemoryMax= (or the container's limit), or lower memory-target",
)
CGROUP_PIDS: Final = check(
    "cgroup-pids",
    "warning",
    "where no process can be made, no engine takes over from a dead one",
    "raise TasksMax= in the unit (or the container's limit)",
)


def judge(facts: ServiceFacts, host: HostFacts, mounts: Sequence[MountSpec]) -> Iterator[Finding]:
    """Everything about what runs the mounts, and what it may use."""
    yield from _unit(facts, len(mounts))
    if facts.private_mounts:
        yield HIDDEN_SUPERVISOR.found(f"the supervisor (pid {facts.pid}) has a mount namespace of its own")
    needed = _FILES + _FILES_A_MOUNT * len(mounts)
    if facts.open_files is not None:
        told = f"the supervisor may open {facts.open_files} files; {needed} are enough for {len(mounts)} mounts"
        yield OPEN_FILES.found(told) if facts.open_files < needed else OPEN_FILES.ok(told)
    yield from _memory(facts, host, mounts)
    processes = 16 + PROCESSES_A_MOUNT * len(mounts)
    if facts.pids_max is not None and facts.pids_max < processes:
        yield CGROUP_PIDS.found(
            f"its control group may have {facts.pids_max} processes; up to {processes} may be needed"
        )


def _memory(facts: ServiceFacts, host: HostFacts, mounts: Sequence[MountSpec]) -> Iterator[Finding]:
    total = sum(spec.memory_target * MiB + _ENGINE_BYTES for spec in mounts)
    if not total:
        return
    told = f"{len(mounts)} mounts may take {total // MiB} MiB together"
    if host.memory_bytes is not None:
        of = f"{told}, of {host.memory_bytes // MiB} MiB"
        yield MEMORY.found(of) if total > _SHARE_OF_MEMORY * host.memory_bytes else MEMORY.ok(of)
    total -= sum(spec.memory_target * MiB + _ENGINE_BYTES for spec in mounts if asked(spec))  # in slices of their own
    if facts.memory_max_bytes is not None and total > facts.memory_max_bytes:
        yield CGROUP_MEMORY.found(
            f"its mounts may take {total // MiB} MiB together, and their control group has a limit of "
            f"{facts.memory_max_bytes // MiB} MiB"
        )


def _unit(facts: ServiceFacts, mounts: int) -> Iterator[Finding]:
    unit = facts.unit
    if unit.get("LoadState") != "loaded":
        if facts.systemd:
            yield UNIT.found("there is no unit mountctl.service")
        return
    if (store := unit.get("FileDescriptorStoreMax", "")).isdecimal():
        told = f"FileDescriptorStoreMax={store}; {mounts} mounts need {_STORED_A_MOUNT * mounts}"
        yield FDSTORE.found(told) if int(store) < _STORED_A_MOUNT * mounts or store == "0" else FDSTORE.ok(told)
    if unit.get("KillMode") in ("control-group", "mixed"):
        yield KILLMODE.found(f"KillMode={unit['KillMode']}: engines do not outlive their supervisor")
    if not unit.get("Type", "notify").startswith("notify"):
        yield UNIT_TYPE.found(f"Type={unit['Type']}: systemd does not wait until the mounts are there")
    if unit.get("Restart") == "no":
        yield UNIT_RESTART.found("Restart=no: the supervisor is not started again")
    hiding = [name for name in HIDING if unit.get(name, "") not in _OFF | {_PLAIN.get(name, "")}]
    if hiding:
        yield SANDBOX.found(f"the unit has {', '.join(f'{name}={unit[name]}' for name in hiding)}")
