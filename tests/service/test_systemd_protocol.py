"""What systemd would hear: the datagrams of sd_notify(3)."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service.running import WAIT_SECONDS_MAX, Running


@pytest.fixture
def notifications(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify.sock"))
        receiver.settimeout(WAIT_SECONDS_MAX)
        yield receiver


def hear(notifications: socket.socket, wanted: str) -> str:
    """The first notification that has the wanted assignment among its lines."""
    while True:
        text = notifications.recv(65536).decode()
        if wanted in text.splitlines():
            return text


def test_ready_watchdog_reloading_and_stopping_are_told(
    running: Running, moto: S3Server, notifications: socket.socket
) -> None:
    running.environment |= {"NOTIFY_SOCKET": notifications.getsockname(), "WATCHDOG_USEC": "200000"}
    running.configure(moto, data={"bucket": moto.bucket()}, bad={"bucket": "no-bucket-like-this"})
    running.start()

    ready = hear(notifications, "READY=1")
    assert "2 mounts" in ready
    assert "no-bucket-like-this" in ready
    hear(notifications, "WATCHDOG=1")
    hear(notifications, "WATCHDOG=1")
    running.run("reload")
    hear(notifications, "RELOADING=1")
    hear(notifications, "READY=1")
    assert running.process is not None
    running.process.terminate()
    hear(notifications, "STOPPING=1")
    assert running.process.wait(WAIT_SECONDS_MAX) == 0
