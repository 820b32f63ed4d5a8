"""What a supervisor leaves for the next one: descriptors, a record, and whether systemd restarts or stops."""

import contextlib
import json
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.spec import MountSpec
from mountctl.supervisor import record
from mountctl.supervisor.fdstore import SystemdFdStore
from mountctl.supervisor.session import Session
from mountctl.supervisor.systemd import is_restart_job, own_unit
from mountctl.supervisor.uids import EngineUids

SPEC = MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": "/mnt/m"})
RECORD = record.SessionRecord(spec=SPEC, init_request="00ff", minor=3, mount_id=9, generation=4, made_directory=True)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30)
        yield receiver


def test_a_record_is_read_as_it_was_written_and_the_last_one_counts() -> None:
    fd = record.create()
    record.write(fd, RECORD)
    record.write(fd, RECORD.model_copy(update={"generation": 5, "init_request": ""}))
    found = record.read(fd)
    os.close(fd)

    assert found is not None
    assert (found.spec, found.generation, found.init_request) == (SPEC, 5, "")


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 100, b"\xff" * 100, b"\4\0\0\0\0\0\0\0true"])
def test_garbage_is_no_record_and_no_error(data: bytes) -> None:
    fd = record.create()
    os.pwrite(fd, data, 0)

    assert record.read(fd) is None
    os.close(fd)


def test_a_record_of_an_older_supervisor_is_read() -> None:
    fd = record.create()
    write_json(fd, RECORD.model_dump(mode="json", by_alias=True, exclude={"region", "transient", "uid"}))
    found = record.read(fd)
    os.close(fd)

    assert found == RECORD


def test_a_record_of_a_younger_supervisor_is_read_without_what_is_not_understood() -> None:
    told = RECORD.model_dump(mode="json", by_alias=True)
    told["spec"] |= {"teleport": True, "upload-checksums": "crc9", "read-only": True}
    fd = record.create()
    write_json(fd, told | {"moon": "full"})
    found = record.read(fd)
    os.close(fd)

    assert found == RECORD.model_copy(update={"spec": SPEC.model_copy(update={"read_only": True})})


def test_a_record_without_a_bucket_that_can_be_is_no_record() -> None:
    told = RECORD.model_dump(mode="json", by_alias=True)
    told["spec"]["bucket"] = "no bucket/"
    fd = record.create()
    write_json(fd, told)

    assert record.read(fd) is None
    os.close(fd)


def write_json(fd: int, told: dict[str, object]) -> None:
    data = json.dumps(told).encode()
    os.pwrite(fd, struct.pack("<II", len(data), zlib.crc32(data)) + data, 0)


def test_a_session_of_which_something_is_missing_is_not_restored_and_leaks_nothing() -> None:
    fds = {"fuse": os.open(os.devnull, os.O_RDONLY), "record": record.create()}

    assert Session.restore(fds) is None
    for fd in fds.values():
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_kept_descriptors_are_sent_by_name_and_the_old_ones_are_dropped_before(systemd: socket.socket) -> None:
    store = SystemdFdStore(systemd.getsockname())
    fd = record.create()
    os.pwrite(fd, b"mine", 0)
    assert store.keep("a.b", {"record": fd})
    assert store.keep("a.b", {"record": fd})
    os.close(fd)

    for again in (False, True):
        if again:
            assert systemd.recv(1000) == b"FDSTOREREMOVE=1\nFDNAME=a.b.record"
        message, (received,), _, _ = socket.recv_fds(systemd, 1000, 2)
        assert message == b"FDSTORE=1\nFDNAME=a.b.record"
        assert os.pread(received, 4, 0) == b"mine"
        os.close(received)
    assert store.keeps("a.b", ("record",))


def test_a_store_that_nobody_reads_blocks_nothing(systemd: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    store = SystemdFdStore(systemd.getsockname())
    kept = [store.keep(f"m{number}", {"fuse": systemd.fileno()}) for number in range(2000)]

    assert kept[0]
    assert not kept[-1]
    assert not store.keeps("m1999", ("fuse",))
    assert "may not survive" in caplog.text


def test_where_there_is_too_little_room_sessions_go_before_engines_and_it_is_told(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FDSTORE", "6")
    store, fd = SystemdFdStore(systemd.getsockname()), systemd.fileno()
    trio.run(store.take)
    session, engine = dict.fromkeys(("fuse", "journal", "record"), fd), {"link-0": fd, "pidfd-0": fd}
    systemd.setblocking(False)

    def keep(mount: str, fds: dict[str, int], *, spare: bool = False) -> bool:
        kept = store.keep(mount, fds, spare=spare)
        with contextlib.suppress(BlockingIOError):
            while True:
                systemd.recv(1000)
        return kept

    assert keep("a", session)
    assert keep("a", engine, spare=True)
    assert keep("b", session)
    assert not keep("b", engine, spare=True)
    assert (store.keeps("a", tuple(session)), store.keeps("a", tuple(engine))) == (True, False)
    assert not keep("c", session)
    assert "FileDescriptorStoreMax=" in caplog.text


def test_descriptors_that_were_passed_to_another_process_are_not_taken(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "m.fuse")

    assert trio.run(SystemdFdStore(systemd.getsockname()).take) == {}
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize(
    ("jobs", "restarting"),
    [
        ("12 mountctl.service restart running\n", True),
        ("11 x.service restart running\n12 mountctl.service stop running\n", False),
        ("No jobs running.\n", False),
        ("", False),
    ],
)
def test_a_restart_is_told_from_a_stop_by_systemds_jobs(jobs: str, restarting: bool) -> None:
    assert is_restart_job(jobs, "mountctl.service") is restarting


def test_the_own_unit_is_that_of_the_control_group() -> None:
    assert own_unit("1:name=systemd:/x\n0::/system.slice/mountctl.service\n") == "mountctl.service"
    assert own_unit("0::/user.slice/session-1.scope\n") is None


def test_the_user_of_an_adopted_engine_is_given_to_no_other() -> None:
    uids = EngineUids()
    first = EngineUids().take()

    assert uids.claim(first)
    assert not uids.claim(first)
    assert not uids.claim(0)
    assert uids.take() != first
