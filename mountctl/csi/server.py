"""A gRPC server on a Unix socket, for CSI's services and for kubelet's registration."""

import os
import socket
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc

from mountctl.errors import MountctlError, shown_path

# Made as they are needed. Of them publishing.WAITING_MAX may wait for the supervisor; the others are for what is quick,
# and for those that wait for their turn at one target.
THREADS_MAX: Final = 96
# sun_path of a Unix socket, with its closing NUL.
_PATH_BYTES_MAX: Final = 107
# A request with its attributes, tokens and secrets; etcd takes no object of more than 1.5 MiB.
_REQUEST_BYTES_MAX: Final = 2 * 1024 * 1024
_SCHEME: Final = "unix:"


class EndpointUnusable(MountctlError):
    """The socket can't be made."""


def socket_path(endpoint: str) -> Path:
    """The path of an endpoint: `unix:///PATH`, `unix:/PATH` or `/PATH`. Raises EndpointUnusable."""
    path = endpoint.removeprefix(_SCHEME)
    if path.startswith("//"):
        path = path[2:]
    if not path.startswith("/"):
        raise EndpointUnusable(f"endpoint {endpoint!r} must be unix:///PATH, with an absolute path")
    return Path(path)


class Server:
    """Serves from `start` to `stop`.

    Args:
        path: of the socket. Only this process's user may use it. One that is left over is replaced.
        add: adds the services.
        threads: how many RPCs may be at work.
    """

    def __init__(self, path: Path, add: Callable[[grpc.Server], None], threads: int = THREADS_MAX) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rpc")
        self._server = grpc.server(
            self._pool, options=[("grpc.max_receive_message_length", _REQUEST_BYTES_MAX), ("grpc.so_reuseport", 0)]
        )
        add(self._server)

    def start(self) -> None:
        """Listen. Raises EndpointUnusable."""
        if len(os.fsencode(self._path)) > _PATH_BYTES_MAX:
            sentence = f"can't listen on {shown_path(self._path)}: a socket's path has at most {_PATH_BYTES_MAX} bytes"
            raise EndpointUnusable(sentence)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _clear(self._path)
            before = os.umask(0o177)
            try:
                self._server.add_insecure_port(f"{_SCHEME}{self._path}")
            finally:
                os.umask(before)
        except (OSError, RuntimeError) as error:
            raise EndpointUnusable(f"can't listen on {shown_path(self._path)}: {error}") from error
        self._server.start()

    def stop(self, seconds: float) -> threading.Event:
        """Take no more RPCs, and give those at work so long. Returns what is set when all are done."""
        return self._server.stop(seconds)


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises OSError for anything else that is there."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError("something that is no socket is there: remove it")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise FileExistsError("another process listens there: end it first")
