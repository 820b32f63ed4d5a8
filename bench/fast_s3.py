"""An S3 that is not the bottleneck: nginx sends objects from a folder in memory, bench/listing.py lists that folder.

Used by the benches. GET, HEAD, LIST and PutObject; no signature is checked. ETags are nginx's own (modification time
and size), in listings too, so that If-Match holds everywhere. With `Manners` it answers as S3 over a network does: so
many milliseconds to the first byte of each answer, so many MB/s on each connection.
"""

import contextlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# Objects must come from memory: on a disk the disk would be measured.
MEMORY: Final = Path("/dev/shm")

MODULES: Final = Path("/usr/lib/nginx/modules")
LUA_MODULES: Final = ("ndk_http_module.so", "ngx_http_lua_module.so")

# Patience with nginx and the lister to come up, and to go.
START_SECONDS_MAX: Final = 10.0

# nginx paces an answer in chunks; small ones keep the pace even within a part.
PACED_CHUNK: Final = "256k"

# An object's content repeats with this period: random enough for a server, quick to make.
PERIOD_BYTES: Final = 16 << 20


class Missing(Exception):
    """A program or module that the bench needs is not installed; the text says which Debian package has it."""


@dataclass(frozen=True)
class Manners:
    """S3's own: milliseconds to the first byte, MB/s of one connection. Zeros: as fast as it goes."""

    first_byte_ms: int = 0
    connection_mb: int = 0

    def __str__(self) -> str:
        if not (self.first_byte_ms or self.connection_mb):
            return "no delay"
        return f"{self.first_byte_ms} ms to the first byte, {self.connection_mb} MB/s a connection"


class FastS3:
    """`with FastS3() as s3:` then `s3.put(...)`, `s3.endpoint`. Objects of a bucket are put before it is listed."""

    def __init__(self, manners: Manners = Manners()) -> None:
        self.manners = manners
        self.endpoint = ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._require()
            self.work = Path(tempfile.mkdtemp(prefix="mountctl-bench-", dir=MEMORY))
            stack.callback(shutil.rmtree, self.work)
            self.root = self.work / "buckets"
            self.root.mkdir()
            lister, front = _free_port(), _free_port()
            stack.enter_context(_process([sys.executable, "-m", "bench.listing", str(self.root), str(lister)], lister))
            configuration = self.work / "nginx.conf"
            configuration.write_text(self._configuration(front, lister))
            command = ["nginx", "-c", str(configuration), "-e", str(self.work / "errors")]
            stack.enter_context(_process(command, front))
            self.endpoint = f"http://127.0.0.1:{front}"
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put(self, bucket: str, key: str, size: int) -> None:
        """Make an object of `size` bytes."""
        path = self.root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            period = _content(min(size, PERIOD_BYTES))
            while (left := size - file.tell()) > 0:
                file.write(period[:left])

    def requests(self) -> Counter[str]:
        """Requests so far, by method."""
        with (self.work / "access").open() as log:
            return Counter(line.split(" ", 1)[0] for line in log)

    def _require(self) -> None:
        if shutil.which("nginx") is None:
            raise Missing("the bench's S3 needs nginx: apt-get install nginx-light")
        if self.manners.first_byte_ms and not all((MODULES / name).exists() for name in LUA_MODULES):
            raise Missing("delays need nginx's Lua module: apt-get install libnginx-mod-http-lua")

    def _configuration(self, front: int, lister: int) -> str:
        delay, pace, modules = "", "", ""
        if self.manners.first_byte_ms:
            modules = "".join(f"load_module {MODULES / name};\n" for name in LUA_MODULES)
            delay = f"access_by_lua_block {{ ngx.sleep({self.manners.first_byte_ms / 1000}) }}"
        if self.manners.connection_mb:
            pace = f"limit_rate {self.manners.connection_mb}m; sendfile_max_chunk {PACED_CHUNK};"
        temporary = "\n".join(
            f"  {kind}_temp_path {self.work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""{modules}
worker_processes 1;
daemon off;
user root;
pid {self.work}/pid;
error_log {self.work}/errors;
events {{ worker_connections 1024; }}
http {{
{temporary}
  log_format short '$request_method $status $request_uri $http_range';
  access_log {self.work}/access short;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  keepalive_timeout 600;
  default_type binary/octet-stream;
  upstream lister {{ server 127.0.0.1:{lister}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{front};
    root {self.root};
    location ~ ^/[^/]+/?$ {{
      {delay}
      proxy_pass http://lister;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
    location / {{
      {delay} {pace}
      if ($request_method = PUT) {{ proxy_pass http://lister; }}
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      add_header x-amz-request-id 1 always;
      if (-d $request_filename) {{ return 404; }}
      error_page 404 =404 /.no-such-key;
    }}
    location = /.no-such-key {{
      internal;
      default_type application/xml;
      return 404 '<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>';
    }}
  }}
}}
"""


def _content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    """A server that listens on `port` while in the context."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
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
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS_MAX)
