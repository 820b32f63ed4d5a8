"""Real S3 servers for tests, benches and the demo: moto (Python, rich semantics) and rclone (Go, independent), and
versitygw (Go, strict) for those who have it.

Started as processes of their own on a free port of 127.0.0.1, credentials `test`/`test`, region us-east-1. No
fixtures here (tests/conftest.py has them), so that anything can use these as context managers. They never read the
user's AWS configuration. tests/faults.py has the servers that misbehave.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Final, Self

import botocore.config
import botocore.session

from engine.link import Access, Credentials
from tests.ports import reserved_port

ACCESS_KEY: Final = "test"
SECRET_KEY: Final = "test"
REGION: Final = "us-east-1"

# moto imports for 2-3 s on a quiet machine; a busy one may take ten times that.
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 30.0

# A test run that is killed must not leave servers behind: the kernel kills them with their parent.
_WITH_PARENT: Final = ["setpriv", "--pdeathsig", "KILL", "--"]

# Port 0 and the printed port: no race for a port that looked free.
_MOTO: Final = """
import logging, sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""
# How long rclone believes in its directory, which tests write to behind its back: less than a request takes. Not 0: its
# clean-up never pauses then, and takes 90% of a core from the first request on (measured; with this, none).
DIR_CACHE_TIME: Final = "100us"

_LISTENING: Final = re.compile(rb"http://127\.0\.0\.1:\d+")


# botocore's session variables as (key in the file, environment variable, default, conversion): no file, no profile.
_NO_FILES: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def boto_client(endpoint: str) -> Any:
    """A boto3-like S3 client for a test server, which reads no file and no variable of the user's."""
    session = botocore.session.Session(session_vars=_NO_FILES)
    return session.create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=botocore.config.Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class S3Server:
    """A server process: enter to start it and wait until it listens, leave to end it. See the two kinds below."""

    name: ClassVar[str] = ""

    endpoint: str

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._said: list[bytes] = []
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._process = subprocess.Popen(
                [*_WITH_PARENT, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=self._environment(),
            )
            self.endpoint = self._wait_until_listening()
            self.boto = boto_client(self.endpoint)
            self._closing.callback(self.boto.close)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def command(self) -> list[str]:
        """The server's command line; it says its URL on stderr when it listens."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The server's process, for tests that freeze or kill it."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End the server. Doing it twice does no harm."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS_MAX)
            assert self._process.stderr is not None
            if self._reader is not None:
                self._reader.join(STOP_SECONDS_MAX)
            self._process.stderr.close()
            self._process = None
        self._closing.close()

    def bucket(self, name: str | None = None) -> str:
        """Make a bucket, with a name of its own unless told; returns the name."""
        name = name or f"bucket-{uuid.uuid4().hex[:12]}"
        self.boto.create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, key: str, data: bytes = b"", **options: Any) -> str:
        """Put an object (`options` are boto's, such as StorageClass); returns its ETag, with quotes."""
        etag: str = self.boto.put_object(Bucket=bucket, Key=key, Body=data, **options)["ETag"]
        return etag

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self.boto.delete_object(Bucket=bucket, Key=key)

    def access(self, bucket: str, *, name: str = "test") -> Access:
        """How an engine reaches this bucket (path style, signed)."""
        return Access(
            name=name,
            endpoint=f"{self.endpoint}/{bucket}",
            region=REGION,
            credentials=Credentials(access_key=ACCESS_KEY, secret_key=SECRET_KEY),
        )

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}

    def _wait_until_listening(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        url: list[str] = []
        listening = threading.Event()
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr, url, listening), daemon=True, name=f"{self.name}-stderr"
        )
        self._reader.start()
        if not listening.wait(START_SECONDS_MAX) or not url:
            said = b"".join(self._said).decode(errors="replace")
            raise RuntimeError(f"{self.name} did not start: {said}")
        return url[0]

    def _read(self, stream: IO[bytes], url: list[str], listening: threading.Event) -> None:
        """Drain stderr, so that the server never blocks on it; note the URL in it and the last lines."""
        for line in stream:
            found = None if url else _LISTENING.search(line)
            if found:
                url.append(found.group().decode())
                listening.set()
            self._said = [*self._said[-20:], line]
        listening.set()


class MotoServer(S3Server):
    """moto: rich semantics (conditional requests, storage classes, restores); about 5-15 ms a request."""

    name = "moto"

    def command(self) -> list[str]:
        return [sys.executable, "-c", _MOTO]


class RcloneServer(S3Server):
    """`rclone serve s3` on a temporary directory, whose sub-folders are the buckets. Checks signatures."""

    name = "rclone"

    def command(self) -> list[str]:
        self.directory = Path(tempfile.mkdtemp(prefix="mountctl-rclone-"))
        self._closing.callback(shutil.rmtree, self.directory)
        rclone = Path(sys.executable).with_name("rclone")
        program = str(rclone) if rclone.exists() else "rclone"
        keys = f"{ACCESS_KEY},{SECRET_KEY}"
        return [
            program, "serve", "s3", "--config", os.devnull, "--addr", "127.0.0.1:0", "--auth-key", keys,
            "--vfs-cache-mode", "off", "--dir-cache-time", DIR_CACHE_TIME,
            "--log-level", "NOTICE", str(self.directory),
        ]  # fmt: skip

    def put(self, bucket: str, key: str, data: bytes = b"", **options: Any) -> str:
        """The same, into directories that are there: a PUT that makes some can hang this server for all its clients."""
        (self.directory / bucket / key).parent.mkdir(parents=True, exist_ok=True)
        return super().put(bucket, key, data, **options)


class VersityServer(S3Server):
    """`versitygw` on a temporary directory: compares signatures and checksums, knows conditional writes.

    Not on PyPI: packaging/setup-go builds it where Go is present. Its objects are files, and the slashes of keys make
    directories: no key can lead through another.
    """

    name = "versitygw"

    @staticmethod
    def program() -> str | None:
        """Where it is, if it is there: beside the interpreter, or wherever else programs are."""
        beside = shutil.which("versitygw", path=str(Path(sys.executable).parent))
        return beside or shutil.which("versitygw") or shutil.which("versitygw", path=str(Path.home() / "go/bin"))

    def command(self) -> list[str]:
        directory = Path(tempfile.mkdtemp(prefix="mountctl-versitygw-"))
        self._closing.callback(shutil.rmtree, directory)
        program = self.program()
        assert program is not None, self.__doc__
        self._port = self._closing.enter_context(reserved_port())  # it does not tell which port it got
        keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY]
        told_on_stderr = ["sh", "-c", 'exec "$@" >&2', "sh"]
        return [*told_on_stderr, program, *keys, "--port", f"127.0.0.1:{self._port}", "posix", str(directory)]

    def _wait_until_listening(self) -> str:
        url = super()._wait_until_listening()  # it says so just before it does
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return url
