"""How doctor learns its facts: by processes that may hang or fail, and by what a supervisor has left on the host."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mountctl.doctor import bundle
from mountctl.doctor.host_probe import host, service, supervisor_pid
from mountctl.doctor.probing import CONFIGURATION, Facts, gather
from mountctl.doctor.processes import ProbeFailed, environment_of, run


def test_a_probe_that_hangs_is_given_up_and_ended() -> None:
    with pytest.raises(ProbeFailed, match="no answer within 1 s"):
        run("http.server", ["0", "--bind", "127.0.0.1"], "", 1.0, os.environ)


def test_a_probe_that_fails_says_why() -> None:
    with pytest.raises(ProbeFailed, match="No module named"):
        run("mountctl.nowhere", [], "", 60.0, os.environ)


def test_this_host_has_what_the_suite_needs() -> None:
    facts = host((Path("/run"), Path("/nowhere/at/all")))
    assert (facts.fuse_device, facts.fuse_filesystem, facts.is_root) == ("ok", True, True)
    assert facts.memory_bytes
    assert [directory.exists for directory in facts.directories] == [True, False]


def test_the_supervisor_is_found_by_the_lock_of_its_runtime_directory(tmp_path: Path) -> None:
    assert supervisor_pid(tmp_path) is None
    with _called("/usr/bin/mountctl", "run") as pid:
        (tmp_path / "lock").write_text(f"{pid}\n")
        assert supervisor_pid(tmp_path) == pid
        assert service(pid).open_files
    (tmp_path / "lock").write_text("no number")
    assert supervisor_pid(tmp_path) is None


def test_another_program_that_has_the_number_of_a_killed_supervisor_is_none(tmp_path: Path) -> None:
    with _called("/usr/bin/editor", "/etc/mountctl.toml") as pid:
        (tmp_path / "lock").write_text(f"{pid}\n")
        assert supervisor_pid(tmp_path) is None


@contextlib.contextmanager
def _called(*words: str) -> Iterator[int]:
    """A process that is called so."""
    command = [sys.executable, "-c", "print(flush=True); input()", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # /proc has no command line of it before
    try:
        yield process.pid
    finally:
        process.communicate(b"\n")


def _is_first_process_shown() -> bool:
    try:
        return bool(os.readlink("/proc/1/ns/mnt"))
    except PermissionError:
        return False


@pytest.mark.skipif(not _is_first_process_shown(), reason="the first process is guarded from root here")
def test_a_process_in_a_mount_namespace_of_its_own_is_seen() -> None:
    inside = subprocess.Popen(["unshare", "--mount", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert inside.stdin is not None
    assert inside.stdout is not None
    inside.stdin.write(b"x\n")
    inside.stdin.flush()
    inside.stdout.readline()  # it is cat now
    try:
        assert service(inside.pid).private_mounts is True
    finally:
        inside.communicate()


def test_s3_is_asked_with_the_environment_of_the_supervisor_that_runs() -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={"HTTPS_PROXY": "http://proxy:1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    try:
        found = environment_of(other.pid)
    finally:
        other.communicate(b"\n")
    assert found.variables["HTTPS_PROXY"] == "http://proxy:1"
    assert "HOME" not in found.variables
    assert (found.supervisor, found.told) == (other.pid, f"asked in the environment of the supervisor ({other.pid})")
    none = environment_of(None)
    assert (none.variables, none.supervisor) == (dict(os.environ), None)
    assert "of this command, as no supervisor runs" in none.told


def test_a_configuration_with_errors_has_them_as_facts(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text("[mount.a]\n")
    facts = gather(path, tmp_path / "run", tmp_path / "state", ())
    assert {problem.key for problem in facts.problems} == {"mount.a.bucket", "mount.a.mountpoint"}
    assert CONFIGURATION not in facts.missed
    assert json.dumps(facts.missed) == "{}"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_half_a_bundle_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def members(*_: object) -> Iterator[tuple[str, str]]:
        yield "README.txt", "x"
        raise error

    monkeypatch.setattr(bundle, "members", members)

    with pytest.raises((bundle.BundleFailed, KeyboardInterrupt)):
        bundle.write(tmp_path / "bundle.tar.gz", Facts(), {}, tmp_path / "m.toml", tmp_path)

    assert list(tmp_path.iterdir()) == []
