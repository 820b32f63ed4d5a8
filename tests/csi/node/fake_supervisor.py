"""A supervisor for tests of the driver: the contract of mountctl/volume.py over a real socket, and mounts of tmpfs.

It stands in for the real one: what tests ask of it that is a promise of the contract is in test_contract.py.
"""

import json
import os
import socketserver
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError

from mountctl.control.client import SOCKET_NAME
from mountctl.volume import Applied, Apply, Cause, Consumer, Release, Released, VolumeStatus

# What the buckets of these names bring about.
TROUBLE: Final = {
    "missing-bucket": (503, Cause.BUCKET_MISSING, "bucket 'missing-bucket' does not exist"),
    "denied-bucket": (503, Cause.ACCESS_DENIED, "arn:aws:iam::1:user/u may not list bucket 'denied-bucket'"),
    "keyless-bucket": (503, Cause.CREDENTIALS, "no credentials were found"),
    "far-bucket": (503, Cause.UNREACHABLE, "S3 does not answer"),
    "no-fuse-bucket": (503, Cause.NODE, "this host has no /dev/fuse: modprobe fuse"),
    "busy-bucket": (503, Cause.BUSY, "too many ask at once"),
    "slow-bucket": (503, Cause.STARTING, "it was not ready within 60 s"),
    "forbidden-bucket": (403, Cause.NOT_ALLOWED, "bucket 'forbidden-bucket' is on no allow-list"),
    "broken-bucket": (503, Cause.INTERNAL, "this is a bug"),
}


class FakeSupervisor:
    """A context manager. What it was asked is in `applies`, `releases`, `statuses`."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir: Final = runtime_dir
        self.applies: list[Apply] = []
        self.releases: list[Release] = []
        self.statuses = 0
        self.trouble = dict(TROUBLE)
        self.volumes: dict[str, tuple[Apply, dict[str, Consumer]]] = {}
        self.states: dict[str, tuple[str, str]] = {}
        # Cleared: requests wait until it is set; `waiting` counts those that do.
        self.answers: Final = threading.Event()
        self.answers.set()
        self.waiting: Final = threading.Semaphore(0)
        self._server: _Server | None = None
        self._mutex = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.answers.set()
        self.stop()
        for _, consumers in self.volumes.values():
            for target in consumers:
                subprocess.run(["umount", target], check=False, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        self.runtime_dir.mkdir(parents=True, exist_ok=True)
        path = self.runtime_dir / SOCKET_NAME
        path.unlink(missing_ok=True)
        self._server = _Server(str(path), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """As if killed: what is mounted stays."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            (self.runtime_dir / SOCKET_NAME).unlink(missing_ok=True)
            self._server = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if not self.answers.is_set():
            self.waiting.release()
            self.answers.wait()
        with self._mutex:
            match method, path.partition("?")[0]:
                case "GET", "/v1/status":
                    self.statuses += 1
                    return self._status(path)
                case "POST", "/v1/mounts/apply":
                    try:
                        return self._apply(Apply.model_validate_json(body))
                    except ValidationError as error:
                        return 400, {"error": str(error), "cause": Cause.INVALID}
                case "POST", "/v1/mounts/release":
                    return self._release(Release.model_validate_json(body))
        return 404, {"error": f"nothing is at {path}"}

    def _apply(self, asked: Apply) -> tuple[int, dict[str, Any]]:
        self.applies.append(asked)
        consumer = asked.consumer
        for name, (_, consumers) in self.volumes.items():
            if (there := consumers.get(consumer.target)) is not None:
                if name != asked.name or there.read_only != consumer.read_only:
                    return 409, {"error": f"{consumer.target} is bound already", "cause": Cause.CONFLICT}
                return 200, Applied(name=name, state="ready", fresh=False).model_dump()
        if (trouble := self.trouble.get(asked.options["bucket"])) is not None:
            status, cause, sentence = trouble
            return status, {"error": sentence, "cause": cause}
        Path(consumer.target).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "fake", consumer.target], check=True)
        self.volumes.setdefault(asked.name, (asked, {}))[1][consumer.target] = consumer
        return 200, Applied(name=asked.name, state="ready", fresh=True).model_dump()

    def _release(self, asked: Release) -> tuple[int, dict[str, Any]]:
        self.releases.append(asked)
        for name, (_, consumers) in list(self.volumes.items()):
            if asked.target in consumers:
                subprocess.run(["umount", asked.target], check=False)
                os.rmdir(asked.target)
                del consumers[asked.target]
                if not consumers:
                    del self.volumes[name]
                return 200, Released(name=name, gone=not consumers).model_dump()
        if Path(asked.target).is_dir() and not os.listdir(asked.target):
            os.rmdir(asked.target)
        return 200, Released(name=None).model_dump()

    def _status(self, path: str) -> tuple[int, dict[str, Any]]:
        asked = [each.partition("=")[2] for each in path.partition("?")[2].split("&") if each]
        for name in asked:
            if name not in self.volumes:
                return 404, {"error": f"no mount {name}"}
        mounts = []
        for name, (apply, consumers) in self.volumes.items():
            state, reason = self.states.get(name, ("ready", ""))
            volume = VolumeStatus(driver=apply.driver, inline=apply.inline, consumers=[*consumers.values()])
            mounts.append({"name": name, "state": state, "reason": reason or None, "volume": volume.model_dump()})
        mounts.append({"name": "of-the-file", "state": "ready", "reason": None})
        return 200, {"mounts": [each for each in mounts if not asked or each["name"] in asked]}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


def _handler(fake: FakeSupervisor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            status, answer = fake.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                return  # who asked has gone

        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def address_string(self) -> str:
            return "unix"

    return Handler
