"""How S3 is reached: clock, name, proxy and the metadata service, against a server that answers as each case needs."""

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine import reach as reaching
from engine.reach import reach
from engine.spec import MountSpec
from tests.certificates import Authority
from tests.faults import FaultyProxy
from tests.proxies import ForwardProxy


class _Handler(BaseHTTPRequestHandler):
    ahead = 0.0
    has_tokens = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(time.time() + self.ahead, usegmt=True)

    def do_HEAD(self) -> None:
        self._answer(403)

    def do_GET(self) -> None:
        self._answer(401)

    def do_PUT(self) -> None:
        if self.has_tokens:
            self._answer(200)
        else:
            self.close_connection = True  # as where an answer's hops are used up: none comes

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def handler() -> type[_Handler]:
    return type("Handler", (_Handler,), {})


@pytest.fixture
def url(handler: type[_Handler], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def spec(url: str, **options: Any) -> MountSpec:
    told = {"no_sign_request": True, **options}
    return MountSpec(name="a", bucket="data", mountpoint="/mnt/a", endpoint_url=url, force_path_style=True, **told)


def test_a_clock_that_is_right_is_within_a_second_of_that_of_s3(url: str) -> None:
    found = reach(spec(url))
    assert found.ahead_seconds is not None
    assert abs(found.ahead_seconds) < 30  # of a machine that is very busy
    assert (found.proxy, found.addresses, found.metadata) == ("", ("127.0.0.1",), "")


def test_a_clock_that_is_behind_is_told(url: str, handler: type[_Handler]) -> None:
    handler.ahead = 3600.0
    ahead = reach(spec(url)).ahead_seconds
    assert ahead is not None
    assert ahead == pytest.approx(-3600, abs=30)


def test_a_server_that_is_not_there_is_told() -> None:
    assert "refused" in reach(spec("http://127.0.0.1:1")).date_trouble


def test_a_name_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(reaching.socket, "getaddrinfo", fail)
    found = reach(spec("http://nowhere.invalid"))
    assert (found.addresses, found.name_trouble) == ((), "Name or service not known")


def test_the_proxy_of_the_mounts_own_environment_is_told_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hunter22@127.0.0.1:3128")
    found = reach(spec(url))
    assert (found.proxy, found.proxy_from, found.ahead_seconds) == ("127.0.0.1:3128", "HTTP_PROXY", None)
    assert "refused" in found.date_trouble
    assert "hunter22" not in found.model_dump_json()
    assert reach(spec(url, environment={"NO_PROXY": "127.0.0.1"})).proxy == ""


@pytest.mark.parametrize("tls", [False, True])
def test_the_clock_is_that_of_s3_behind_a_proxy(
    url: str, handler: type[_Handler], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tls: bool
) -> None:
    handler.ahead = 3600.0
    certificate = Authority("s3").server_side(tmp_path) if tls else None
    with FaultyProxy(url, tls=certificate) as s3, ForwardProxy("me:hunter22") as proxy:
        monkeypatch.setenv("HTTPS_PROXY" if tls else "HTTP_PROXY", f"http://me:hunter22@{proxy.address}")
        found = reach(spec(s3.endpoint))
        monkeypatch.setenv("HTTPS_PROXY" if tls else "HTTP_PROXY", proxy.url)
        stranger = reach(spec(s3.endpoint))

    assert found.ahead_seconds == pytest.approx(-3600, abs=30)
    assert "wants a user and password (status 407)" in stranger.date_trouble
    assert stranger.ahead_seconds is None


def test_a_proxy_that_can_not_be_used_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
    assert "not supported" in reach(spec(url)).trouble


@pytest.mark.parametrize(("has_tokens", "told"), [(True, "ok"), (False, "silent")])
def test_the_metadata_service_is_asked_where_no_other_keys_are(
    url: str, handler: type[_Handler], monkeypatch: pytest.MonkeyPatch, has_tokens: bool, told: str
) -> None:
    handler.has_tokens = has_tokens
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
    found = reach(spec(url, no_sign_request=False))
    assert found.metadata == told
    assert found.credentials_trouble


def test_a_metadata_service_that_is_not_there_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    assert reach(spec(url, no_sign_request=False)).metadata == "absent"


def test_the_metadata_service_is_not_asked_where_there_are_keys(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    found = reach(spec(url, no_sign_request=False))
    assert (found.metadata, found.credentials_source) == ("", "environment")
