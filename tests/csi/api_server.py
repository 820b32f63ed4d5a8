"""A Kubernetes API server of a few objects, over HTTPS, for tests."""

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mountctl.csi.kubernetes_api import KubernetesApi
from tests.certificates import Authority

TOKEN = "token-very-secret"

Answer = tuple[int, Any]


class ApiServer:
    """Objects by path. `seen` has each request: method, path, token, content type, body.

    `decide(method, path)` answers instead, if it returns anything; raising ConnectionError hangs up.
    """

    def __init__(self, directory: Path) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, str, str, str, Any]] = []
        self.decide: Callable[[str, str], Answer | None] = lambda _method, _path: None
        self.account = directory / "account"
        self.account.mkdir()
        authority = Authority("kubernetes")
        (self.account / "ca.crt").write_text(authority.pem)
        (self.account / "token").write_text(TOKEN)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = authority.server_side(directory).wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def api(self, **options: Any) -> KubernetesApi:
        return KubernetesApi("127.0.0.1", self.port, self.account, **options)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, method: str, path: str, body: Any) -> Answer:
        if (decided := self.decide(method, path)) is not None:
            return decided
        if method == "POST":
            return 201, body
        if path not in self.objects:
            return 404, {"kind": "Status"}
        if method == "PATCH":
            return self._patch(self.objects[path], body)
        return 200, self.objects[path]

    @staticmethod
    def _patch(found: dict[str, Any], patch: list[dict[str, Any]]) -> Answer:
        """A JSON patch of taints."""
        for step in patch:
            assert step["path"] == "/spec/taints"
            if step["op"] == "test" and found["spec"].get("taints") != step["value"]:
                return 422, {"kind": "Status"}
            if step["op"] == "replace":
                found["spec"]["taints"] = step["value"]
        return 200, found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                read = json.loads(body) if body else None
                kind, token = self.headers.get("Content-Type", ""), self.headers.get("Authorization", "")
                server.seen.append((self.command, self.path, token, kind, read))
                try:
                    status, answer = server._answer(self.command, self.path, read)
                except ConnectionError:
                    self.close_connection = True
                    return
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PATCH = do_POST = answer  # noqa: N815 http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not believe it are what a test is about."""

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except ssl.SSLError as error:
            raise OSError(str(error)) from error
