"""An S3 that is not the bottleneck: nginx sends objects from a folder in memory, bench/back_end.py does the rest.

Used by the benches. No signature is checked. With `Manners` (bench/nginx.py) it answers as S3 over a network does: so
many milliseconds to the first byte of each answer, so many MB/s on each connection. Each client has a port of its own,
by which its requests are told from others'.
"""

import contextlib
import functools
import http.client
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from bench import CHECKOUT
from bench.nginx import LUA_MODULES, MODULES, NO_DELAY, Certificate, Manners, configuration
from bench.processes import cpu_seconds, family

__all__ = ["FastS3", "Manners", "Missing"]

# Objects must come from memory: on a disk the disk would be measured.
MEMORY: Final = Path("/dev/shm")

# Patience with nginx and the back end to come up, and to go: on a busy machine the latter reads names for ten seconds.
START_SECONDS_MAX: Final = 60.0

# An object's content repeats with this period: random enough for a server, quick to make.
PERIOD_BYTES: Final = 16 << 20

CERTIFICATE_DAYS: Final = 2


class Missing(Exception):
    """A program or module that the bench needs is not installed; the text says which Debian package has it."""


def telling_what_is_missing(main: Callable[[], int]) -> Callable[[], int]:
    """The main function of a bench, which then ends with a sentence and 1 where something is Missing."""

    @functools.wraps(main)
    def told() -> int:
        try:
            return main()
        except Missing as missing:
            print(missing, file=sys.stderr)
            return 1

    return told


class FastS3:
    """`with FastS3() as s3:` then `s3.put(...)`, `s3.endpoint`. Objects of a bucket are put before it is listed.

    Args:
        manners: how it answers.
        tls: over HTTPS, with a certificate that `ca` vouches for.
        clients: how many endpoints there are.
        root: the folder of buckets, of whoever made it; None: one of its own.
    """

    def __init__(
        self, manners: Manners = NO_DELAY, *, tls: bool = False, clients: int = 1, root: Path | None = None
    ) -> None:
        self.manners = manners
        self.endpoints: list[str] = []
        self.ca: Path | None = None
        self._tls = tls
        self._clients = clients
        self._given_root = root
        self._read = 0  # bytes of the access log
        self._requests: dict[str, Counter[str]] = {}
        self._stack = contextlib.ExitStack()

    @property
    def endpoint(self) -> str:
        """Of the first client."""
        return self.endpoints[0]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._require()
            self.work = Path(tempfile.mkdtemp(prefix="mountctl-bench-", dir=MEMORY))
            stack.callback(shutil.rmtree, self.work)
            self.root = self._given_root or self.work / "buckets"
            self.root.mkdir(exist_ok=True)
            back, *fronts = _free_ports(1 + self._clients)
            self._back = back
            command = [sys.executable, "-m", "bench.back_end", str(self.root), str(back)]
            self._back_pid = stack.enter_context(_process(command, back))
            certificate = self._certificate() if self._tls else None
            told = self.work / "nginx.conf"
            told.write_text(configuration(self.work, self.root, fronts, back, self.manners, certificate))
            command = ["nginx", "-c", str(told), "-e", str(self.work / "errors")]
            self._front_pid = stack.enter_context(_process(command, fronts[0]))
            scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
            self.endpoints = [f"{scheme}://{host}:{port}" for port in fronts]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put(self, bucket: str, key: str, size: int) -> Path:
        """Make an object of `size` bytes; its file."""
        return put(self.root / bucket, key, size)

    def settle(self) -> None:
        """Objects written in parts have their bytes afterwards (bench/bucket.py)."""
        back = http.client.HTTPConnection("127.0.0.1", self._back)
        back.request("POST", "/?settle")
        back.getresponse().read()
        back.close()

    def forget(self, bucket: str, key: str) -> None:
        """Delete an object that was written; no client is told, and no request counted."""
        back = http.client.HTTPConnection("127.0.0.1", self._back)
        back.request("DELETE", f"/{bucket}/{quote(key)}")
        back.getresponse().read()
        back.close()

    def requests(self, client: int | None = None) -> Counter[str]:
        """Requests so far, by method: of a client by its number, None: of all."""
        with (self.work / "access").open("rb") as log:
            log.seek(self._read)
            whole = log.read().rpartition(b"\n")
        self._read += len(whole[0]) + len(whole[1])
        for line in whole[0].decode("latin-1").splitlines():
            port, method, _ = line.split(" ", 2)
            self._requests.setdefault(port, Counter())[method] += 1
        if client is None:
            return sum(self._requests.values(), Counter())
        return Counter(self._requests.get(self.endpoints[client].rpartition(":")[2]))

    def cpu_seconds(self) -> tuple[float, float]:
        """Of nginx and of the back end so far, each of one thread: what is close to the clock's is the bottleneck."""
        return cpu_seconds(family(self._front_pid)), cpu_seconds([self._back_pid])

    def _require(self) -> None:
        if shutil.which("nginx") is None:
            raise Missing("the bench's S3 needs nginx: apt-get install nginx-light")
        if self.manners.first_byte_ms and not all((MODULES / name).exists() for name in LUA_MODULES):
            raise Missing("delays need nginx's Lua module: apt-get install libnginx-mod-http-lua")
        if self._tls and shutil.which("openssl") is None:
            raise Missing("TLS needs a certificate: apt-get install openssl")

    def _certificate(self) -> Certificate:
        made = Certificate(self.work / "certificate.pem", self.work / "key.pem")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(CERTIFICATE_DAYS)),
                *("-keyout", made.key, "-out", made.chain, "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            ],
            check=True,
            capture_output=True,
        )
        self.ca = made.chain
        return made


def put(folder: Path, key: str, size: int) -> Path:
    """Make an object of `size` bytes in a bucket's folder; its file."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        period = random.Random(size).randbytes(min(size, PERIOD_BYTES))
        while (left := size - file.tell()) > 0:
            file.write(period[:left])
    return path


def put_same(folder: Path, keys: Iterable[str], content: Path) -> None:
    """Make objects that have the bytes of a file, and take no memory for them."""
    for parent, group in itertools.groupby((folder / key for key in keys), key=lambda path: path.parent):
        parent.mkdir(parents=True, exist_ok=True)
        for path in group:
            path.hardlink_to(content)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[int]:
    """A server that listens on `port` while in the context; its process ID."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not come up") from None
                time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS_MAX)
