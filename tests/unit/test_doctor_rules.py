"""What doctor says of facts: each finding provoked by one, and nothing found where all is well."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from engine.answers import Answer, Reach, Step, StepName
from engine.spec import MiB, MountSpec
from mountctl.doctor import host, judging, mounts, network, running, service
from mountctl.doctor.facts import Directory, HostFacts, PathFacts, ServiceFacts
from mountctl.doctor.findings import CHECKS, SEVERITIES, Finding, exit_code, ordered
from mountctl.doctor.probing import Facts
from mountctl.errors import ControlDenied, Problem, SupervisorNotRunning, SupervisorSilent
from mountctl.supervisor.session import FSTYPE

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LARGE: Final = 64 * 1024 * MiB
WELL: Final = HostFacts(
    kernel="6.12.0",
    beneath=True,
    inotify_watches=65536,
    inotify_instances=128,
    pid_max=4194304,
    memory_bytes=LARGE,
    directories=(Directory(path="/run/mountctl", fstype="tmpfs"), Directory(path="/var/lib/mountctl", fstype="ext4")),
)
UNIT: Final = {"LoadState": "loaded", "Type": "notify", "Restart": "always", "KillMode": "process"}
SERVED: Final = ServiceFacts(
    pid=7, open_files=524288, private_mounts=False, systemd=True, unit={**UNIT, "FileDescriptorStoreMax": "1024"}
)
FAR: Final = Reach(name="a", endpoint="https://b.s3.amazonaws.com", host="b.s3.amazonaws.com", addresses=("192.0.2.1",))


def spec(name: str = "a", **options: Any) -> MountSpec:
    return MountSpec(name=name, bucket="data", mountpoint=f"/mnt/{name}", **options)


def bad(findings: Iterable[Finding]) -> dict[str, str]:
    """What is not as it should be: severity by id."""
    return {each.id: each.severity for each in findings if each.severity != "ok"}


def of_host(*specs: MountSpec, **facts: Any) -> dict[str, str]:
    return bad(host.judge(WELL.model_copy(update=facts), specs or [spec()]))


def of_service(*specs: MountSpec, host_facts: HostFacts = WELL, **facts: Any) -> dict[str, str]:
    return bad(service.judge(SERVED.model_copy(update=facts), host_facts, specs or [spec()]))


def test_nothing_is_found_on_a_host_that_is_well() -> None:
    assert of_host() == {}
    assert of_service() == {}


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"is_root": False}, {"root": "info"}),
        ({"fuse_device": "No such file or directory"}, {"fuse-device": "error"}),
        ({"fuse_filesystem": False}, {"fuse-module": "error"}),
        ({"fusectl": False}, {"fusectl": "warning"}),
        ({"kernel": "4.19.0"}, {"kernel-mount-api": "error"}),
        ({"kernel": "6.6.1-x"}, {"kernel-resend": "info"}),
        ({"kernel": "6.1.0", "beneath": False}, {"kernel-resend": "info", "kernel-beneath": "info"}),
        ({"beneath": False}, {"kernel-beneath": "info"}),
        ({"kernel": "weird"}, {}),
        ({"request_timeout_seconds": 30}, {"fuse-request-timeout": "error"}),
        ({"request_timeout_seconds": 600}, {}),
        ({"inotify_watches": 8}, {"inotify": "warning"}),
        ({"inotify_instances": 1}, {"inotify": "warning"}),
        ({"pid_max": 500}, {"pid-max": "warning"}),
        ({"directories": (Directory(path="/x", writable=False),)}, {"directory": "error"}),
        ({"directories": (Directory(path="/x", free_bytes=5),)}, {"directory": "error"}),
        ({"directories": (Directory(path="/x", others_write=True),)}, {"directory-open": "error"}),
        ({"directories": (Directory(path="/x", fstype="tmpfs"),)}, {"state-fleeting": "info"}),
        ({"directories": (Directory(path="/x", exists=False),)}, {}),
        ({"has_updatedb": True}, {"updatedb": "warning"}),
        ({"has_updatedb": True, "updatedb_conf": 'PRUNEFS="NFS fuse.sshfs"\n'}, {"updatedb": "warning"}),
        ({"has_updatedb": True, "updatedb_conf": f'PRUNEFS="NFS {FSTYPE}"\n'}, {}),
        ({"has_updatedb": True, "updatedb_conf": f'# PRUNEFS="{FSTYPE}"\n'}, {"updatedb": "warning"}),
        ({"has_updatedb": True, "updatedb_conf": 'PRUNEPATHS = "/tmp /mnt"\n'}, {}),
        ({"has_updatedb": True, "updatedb_conf": 'PRUNEPATHS="/mnt/other'}, {"updatedb": "warning"}),
    ],
)
def test_what_is_wrong_with_the_host_is_found(facts: dict[str, Any], found: dict[str, str]) -> None:
    assert of_host(**facts) == found


def test_user_allow_other_is_no_finding_as_it_binds_no_mount_of_roots() -> None:
    assert of_host(spec(allow_other=True), user_allow_other=False) == {}


def test_the_type_that_updatedb_is_to_pass_by_is_that_of_the_mounts() -> None:
    assert host.FSTYPE == FSTYPE


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"private_mounts": True}, {"supervisor-namespace": "error"}),
        ({"open_files": 100}, {"open-files": "warning"}),
        ({"memory_max_bytes": 100 * MiB}, {"cgroup-memory": "warning"}),
        ({"pids_max": 8}, {"cgroup-pids": "warning"}),
        ({"unit": {"LoadState": "not-found"}}, {"unit": "info"}),
        ({"unit": {}, "systemd": False}, {}),
        ({"unit": {**UNIT, "FileDescriptorStoreMax": "0"}}, {"unit-fdstore": "warning"}),
        ({"unit": {**UNIT, "FileDescriptorStoreMax": "4"}}, {"unit-fdstore": "warning"}),
        ({"unit": {**UNIT, "KillMode": "control-group"}}, {"unit-killmode": "warning"}),
        ({"unit": {**UNIT, "Type": "simple"}}, {"unit-type": "warning"}),
        ({"unit": {**UNIT, "Restart": "no"}}, {"unit-restart": "warning"}),
        *(({"unit": {**UNIT, name: "yes"}}, {"unit-sandbox": "error"}) for name in service.HIDING),
        ({"unit": {**UNIT, "ProtectSystem": "no", "ProtectProc": "default", "ProcSubset": "all"}}, {}),
    ],
)
def test_what_is_wrong_with_the_supervisors_process_is_found(facts: dict[str, Any], found: dict[str, str]) -> None:
    assert of_service(**facts) == found


def test_mounts_that_may_take_all_memory_together_are_found() -> None:
    few = WELL.model_copy(update={"memory_bytes": 2048 * MiB})
    assert of_service(spec(), host_facts=few) == {}
    assert of_service(*(spec(f"m{n}") for n in range(4)), host_facts=few) == {"memory": "warning"}


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, {}),
        ({"trouble": "no S3 endpoint"}, {"endpoint": "error"}),
        ({"name_trouble": "Name or service not known", "addresses": ()}, {"dns": "error"}),
        ({"date_trouble": "Connection refused"}, {"connection": "error"}),
        ({"proxy": "proxy:3128", "proxy_from": "HTTPS_PROXY"}, {"proxy": "info"}),
        ({"ahead_seconds": 5.0}, {}),
        ({"ahead_seconds": -90.0}, {"clock-drifts": "warning"}),
        ({"ahead_seconds": 1000.0}, {"clock": "error"}),
        ({"metadata": "silent"}, {"imds-hop-limit": "error"}),
        ({"metadata": "absent"}, {"imds": "error"}),
        ({"metadata": "ok", "credentials_trouble": "no role"}, {"imds": "error"}),
        ({"metadata": "ok", "credentials_source": "instance"}, {}),
    ],
)
def test_what_is_wrong_on_the_way_to_s3_is_found(facts: dict[str, Any], found: dict[str, str]) -> None:
    assert bad(network.judge(FAR.model_copy(update=facts))) == found


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("credentials", "credentials"),
        ("bucket", "bucket"),
        ("region", "region"),
        ("list", "permission-list"),
        ("get", "permission-get"),
        ("put", "permission-put"),
    ],
)
def test_what_s3_refuses_a_mount_is_found(step: StepName, found: str) -> None:
    def of(*, ok: bool | None) -> dict[str, str]:
        return bad(mounts.of_answer(Answer(name="a", steps=(Step(name=step, ok=ok, told="told"),)), spec()))

    assert of(ok=False) == {found: "error"}
    assert of(ok=None) == {"not-known": "info"}
    assert of(ok=True) == {}


def test_that_deleting_is_not_tried_is_said_of_mounts_that_delete() -> None:
    answer = Answer(name="a", steps=())
    assert bad(mounts.of_answer(answer, spec(allow_delete=True))) == {"permission-delete": "info"}
    assert bad(mounts.of_answer(answer, spec(allow_delete=True, read_only=True))) == {}


def test_errors_and_warnings_of_the_file_are_found() -> None:
    problem = Problem(Path("/m.toml"), 1, 1, "mount.a", "is wrong")
    assert bad(mounts.of_configuration([problem], [], "")) == {"configuration": "error"}
    assert bad(mounts.of_configuration([], [problem], "good")) == {"configuration-unwise": "warning"}


def status(mount: dict[str, Any] | None = None, **supervisor: Any) -> dict[str, Any]:
    config = {"last_reload": {"ok": True, "errors": []}, "watching": "notified", **supervisor.pop("config", {})}
    its = {
        "name": "a",
        "state": "ready",
        "reason": None,
        "last_error": None,
        "credentials": {"expires": None, "error": None},
        "session": {"waiting": 0},
    }
    return {
        "supervisor": {"pid": 7, "version": "1", "config": config, **supervisor},
        "mounts": [its | (mount or {})],
    }


def of_status(told: dict[str, Any], *declared: str) -> dict[str, str]:
    return bad(running.of_status(told, declared or ("a",), "1", NOW))


def keys(seconds: float | None, error: str | None = None) -> dict[str, Any]:
    expires = None if seconds is None else (NOW + timedelta(seconds=seconds)).isoformat()
    return {"credentials": {"expires": expires, "error": error}}


@pytest.mark.parametrize(
    ("mount", "found"),
    [
        ({}, {}),
        ({"state": "failed", "reason": "no bucket"}, {"mount-failed": "error"}),
        ({"state": "backoff", "reason": "no bucket"}, {"mount-failed": "error"}),
        ({"state": "stopped"}, {"mount-failed": "error"}),
        ({"state": "degraded", "reason": "S3 refused"}, {"mount-degraded": "error"}),
        ({"state": "recovering"}, {"mount-passing": "info"}),
        ({"state": "a-newer-state"}, {"mount-passing": "info"}),
        ({"state": "held"}, {"mount-held": "info"}),
        ({"last_error": "x: access denied"}, {"last-error": "info"}),
        (keys(3600), {}),
        (keys(60), {"credentials-renewal": "error"}),
        (keys(-5), {"credentials-renewal": "error"}),
        (keys(None, "no role"), {"credentials-renewal": "error"}),
        ({"session": {"waiting": 200}}, {"mount-waiting": "warning"}),
        ({"session": None}, {}),
    ],
)
def test_what_the_supervisor_tells_of_a_mount_is_judged(mount: dict[str, Any], found: dict[str, str]) -> None:
    assert of_status(status(mount)) == found


def test_what_the_supervisor_tells_of_itself_is_judged() -> None:
    refused = {"last_reload": {"ok": False, "errors": ["m.toml:1: bad"]}}
    assert of_status(status(config=refused)) == {"reload-refused": "warning"}
    assert of_status(status(config={"watching": "polling"})) == {"config-polling": "info"}
    assert of_status(status(version="0")) == {"version": "info"}
    assert of_status(status(), "a", "b") == {"not-in-force": "warning"}


def test_engines_that_are_lost_again_and_again_are_found() -> None:
    def events(count: int, minutes: int) -> list[dict[str, Any]]:
        at = (NOW - timedelta(minutes=minutes)).isoformat()
        return [{"at": at, "kind": "state", "state": "recovering", "mount": "a", "text": "killed"}] * count

    assert bad(running.of_events(events(3, 5), ["a"], NOW)) == {"takeovers": "warning"}
    assert bad(running.of_events(events(2, 5), ["a"], NOW)) == {}
    assert bad(running.of_events(events(3, 90), ["a"], NOW)) == {}


@pytest.mark.parametrize(
    ("facts", "state", "found"),
    [
        ({"answer": "answers", "mounted": True}, "ready", {}),
        ({"answer": "silent"}, "ready", {"mount-silent": "error"}),
        ({"answer": "dead"}, None, {"mount-dead": "error"}),
        ({"answer": "answers", "covered_by": "tmpfs (tmpfs)"}, "ready", {"mount-hidden": "warning"}),
        ({"answer": "answers"}, "ready", {"mount-away": "error"}),
        ({"answer": "answers"}, "held", {}),
        ({"answer": "answers"}, None, {}),
    ],
)
def test_what_lies_at_mountpoints_is_judged(facts: dict[str, Any], state: str | None, found: dict[str, str]) -> None:
    path = PathFacts(mount="a", path="/mnt/a", **facts)
    assert bad(running.of_paths([path], {} if state is None else {"a": state})) == found


@pytest.mark.parametrize(
    ("trouble", "found"),
    [
        (SupervisorNotRunning("none"), {"supervisor": "error"}),
        (SupervisorSilent("silent"), {"supervisor-silent": "error"}),
        (ControlDenied("no"), {"supervisor-denied": "warning"}),
    ],
)
def test_a_supervisor_that_does_not_answer_is_found(trouble: Any, found: dict[str, str]) -> None:
    assert bad(judging.judge(Facts(status_trouble=trouble), Path("/m.toml"), (), "1", NOW)) == found


def test_what_could_not_be_asked_is_told() -> None:
    assert bad(judging.judge(Facts(missed={"the host": "late"}), Path("/m.toml"), (), "1", NOW)) == {
        "not-asked": "warning"
    }


def test_the_worst_comes_first_and_makes_the_exit_code() -> None:
    found = [CHECKS["proxy"].ok("x"), CHECKS["memory"].found("x"), CHECKS["root"].found("x"), CHECKS["dns"].found("x")]
    assert [each.severity for each in ordered(found)] == list(SEVERITIES)
    assert [exit_code(found[:count]) for count in (0, 1, 2, 4)] == [0, 0, 1, 2]


def test_every_check_has_a_reason_and_a_fix() -> None:
    for each in CHECKS.values():
        assert each.why, each
        assert each.fix, each
