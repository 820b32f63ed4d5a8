"""Mounts that are handed to a supervisor over its socket: by root only, checked, and told why not."""

import grp
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from engine.spec import MountSpec
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, Refused
from tests.unit.controlled import Supervisor, serving
from tests.unit.test_control import error_of, exchange
from tests.unit.test_control_peers import NOBODY, as_nobody

SPEC = MountSpec(name="one", bucket="bucket", prefix="ü/", mountpoint="/mnt/one", bind=("eth0",), dir_mode=0o700)


def add(runtime_dir: Path) -> Callable[[], None]:
    return lambda: ControlClient(runtime_dir).add(SPEC.model_dump_json(by_alias=True))


def test_a_mount_arrives_as_it_was_sent(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        await trio.to_thread.run_sync(add(runtime_dir))
        assert supervisor.added == [SPEC]

    serving(tmp_path, body)


def test_why_a_mount_cannot_be_had_is_the_clients_error(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.error = MountctlError("bucket 'bucket' does not exist")
        with pytest.raises(Refused, match=r"^bucket 'bucket' does not exist$"):
            await trio.to_thread.run_sync(add(runtime_dir))

    serving(tmp_path, body)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"{}", "name: Field required"),
        (b"not json", "that is not a mount: "),
        (b'{"name": "a", "bucket": "b!!", "mountpoint": "/x"}', "bucket: "),
        (b'{"name": "a", "bucket": "bbb", "mountpoint": "/x", "cache": "/y"}', "cache: Extra inputs"),
    ],
)
def test_what_is_no_mount_is_400(tmp_path: Path, sent: bytes, told: str) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        head = f"POST /v1/mounts HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\n\r\n"
        answer = await exchange(runtime_dir, head.encode() + sent)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert told in error_of(answer)
        assert supervisor.added == []

    serving(tmp_path, body)


def test_a_member_of_the_control_group_may_look_and_not_mount(tmp_path: Path) -> None:
    """Who mounts anything anywhere, and has root read and write files for it, is root."""

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        def try_it(client: ControlClient) -> None:
            client.status()
            client.add(SPEC.model_dump_json(by_alias=True))

        told = await trio.to_thread.run_sync(as_nobody, runtime_dir, try_it)
        assert told == f"ControlDenied: user {NOBODY} may not add mounts: only root may"
        assert supervisor.added == []

    serving(tmp_path, body, group=grp.getgrgid(NOBODY).gr_name)


def test_other_methods_are_405(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        answer = await exchange(runtime_dir, b"DELETE /v1/mounts HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"Allow: POST" in answer

    serving(tmp_path, body)
