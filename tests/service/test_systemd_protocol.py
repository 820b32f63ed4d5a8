"""What systemd would hear: the datagrams of sd_notify(3)."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service.running import WAIT_SECONDS_MAX, Running


class Listener:
    """Takes every datagram as it comes, as systemd does, and remembers it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._heard: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def hear(self, wanted: str) -> str:
        """The next notification with the wanted assignment among its lines; those before it are forgotten."""
        with self._more:
            assert self._more.wait_for(lambda: self._index(wanted) is not None, WAIT_SECONDS_MAX), self._heard
            index = self._index(wanted)
            assert index is not None
            text = self._heard[index]
            del self._heard[: index + 1]
            return text

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()

    def _index(self, wanted: str) -> int | None:
        return next((i for i, text in enumerate(self._heard) if wanted in text.splitlines()), None)

    def _listen(self) -> None:
        while text := self._socket.recv(65536).decode():
            with self._more:
                self._heard.append(text)
                self._more.notify_all()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "notify.sock")
    yield listener
    listener.close()


def test_ready_watchdog_reloading_and_stopping_are_told(running: Running, moto: S3Server, systemd: Listener) -> None:
    running.environment |= {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "200000"}
    running.configure(moto, data={"bucket": moto.bucket()}, bad={"bucket": "no-bucket-like-this"})
    running.start()

    ready = systemd.hear("READY=1")
    assert "2 mounts" in ready
    assert "no-bucket-like-this" in ready
    systemd.hear("WATCHDOG=1")
    systemd.hear("WATCHDOG=1")
    running.run("reload")
    systemd.hear("RELOADING=1")
    systemd.hear("READY=1")
    assert running.process is not None
    running.process.terminate()
    systemd.hear("STOPPING=1")
    assert running.process.wait(WAIT_SECONDS_MAX) == 0


def test_a_notification_socket_that_nobody_reads_stops_nothing(
    running: Running, moto: S3Server, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf.sock"))
        running.environment |= {"NOTIFY_SOCKET": str(tmp_path / "deaf.sock"), "WATCHDOG_USEC": "2000"}
        running.configure(moto, data={"bucket": moto.bucket()})

        with running.running():
            for _ in range(3):
                assert running.run("reload").returncode == 0
