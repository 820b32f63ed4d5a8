"""engine/s3/proxy.py: by which proxy S3 is reached, and what goes over it."""

import base64
from pathlib import Path
from typing import Any

import pytest
import trio
from pydantic import SecretStr

from engine.errors import S3Error, Unreachable
from engine.link import Access, Credentials
from engine.s3 import tls
from engine.s3.access import AccessUnavailable, resolve
from engine.s3.client import HttpClient
from engine.s3.configured import client_for
from engine.s3.proxy import Proxy, ProxyUnusable, choose, is_excepted, parse
from engine.spec import MountSpec
from engine.stats import EngineStats
from tests.certificates import Authority
from tests.faults import FaultyProxy
from tests.proxies import ForwardProxy
from tests.servers import ACCESS_KEY, SECRET_KEY, MotoServer

HTTPS = "https://bucket.s3.eu-west-1.amazonaws.com"
HTTP = "http://10.1.2.3:9000/bucket"


@pytest.mark.parametrize(
    ("endpoint", "environ", "chosen"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        (HTTPS, {"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, "http://b:2"),
        (HTTPS, {"HTTP_PROXY": "http://a:1", "ALL_PROXY": "http://b:1"}, None),
        (HTTP, {"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "http://a:1"),
        (HTTPS, {"HTTPS_PROXY": " "}, None),
        (HTTPS, {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "localhost,.amazonaws.com"}, None),
        (HTTPS, {"HTTPS_PROXY": "http://a:1", "no_proxy": "example.com"}, "http://a:1"),
    ],
)
def test_the_proxy_is_that_of_the_endpoints_scheme_unless_its_host_is_excepted(
    endpoint: str, environ: dict[str, str], chosen: str | None
) -> None:
    assert choose(endpoint, environ) == chosen


@pytest.mark.parametrize(
    ("host", "no_proxy", "excepted"),
    [
        ("s3.test", "*", True),
        ("s3.test", "s3.test", True),
        ("s3.test", "S3.TEST", True),
        ("a.s3.test", "s3.test", True),
        ("a.s3.test", ".s3.test", True),
        ("a.s3.test", "*.s3.test", True),
        ("s3.test", ".s3.test", True),
        ("mys3.test", "s3.test", False),
        ("s3.test", "a.s3.test", False),
        ("s3.test", "", False),
        ("s3.test", " , ,", False),
        ("s3.test", "other, s3.test", True),
        ("s3.test", "s3.test:443", True),
        ("s3.test", "s3.test:9000", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "192.168.0.0/16,10.1.2.0/24", True),
        ("10.1.2.3", "10.1.2.30", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "10.0.0.0/8", False),
    ],
)
def test_the_rules_of_no_proxy(host: str, no_proxy: str, excepted: bool) -> None:
    assert is_excepted(host, 443, no_proxy) is excepted


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.test:3128", Proxy("proxy.test", 3128)),
        ("http://proxy.test:3128/", Proxy("proxy.test", 3128)),
        ("proxy.test:3128", Proxy("proxy.test", 3128)),
        ("proxy.test", Proxy("proxy.test", 80)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
    ],
)
def test_a_proxys_url_is_taken_apart(url: str, proxy: Proxy) -> None:
    assert parse(url) == proxy


def test_a_password_is_decoded_and_never_shown() -> None:
    proxy = parse("http://me:p%40ss%3Aword@proxy.test:3128")

    assert proxy.authorization == f"Basic {base64.b64encode(b'me:p@ss:word').decode()}"
    assert "Basic" not in repr(proxy)
    assert proxy.name == "proxy.test:3128"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://me:hush@proxy.test", "a proxy that speaks TLS itself is not supported"),
        ("socks5://me:hush@proxy.test", "SOCKS proxy is not supported"),
        ("ftp://me:hush@proxy.test", "that kind of proxy is not supported"),
        ("http://me:hush@proxy.test:port", "not the URL of a proxy"),
        ("http://me:hush@", "not the URL of a proxy"),
        ("http://me:hush@a b", "not the URL of a proxy"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_told_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ProxyUnusable) as caught:
        choose(HTTPS, {"HTTPS_PROXY": url})
    assert said in str(caught.value)
    assert str(caught.value).startswith("HTTPS_PROXY: ")
    assert "hush" not in str(caught.value)


def spec(**options: Any) -> MountSpec:
    return MountSpec(
        **{"name": "m", "bucket": "my-bucket", "mountpoint": "/m", "no_sign_request": True, "region": "x-1", **options}
    )


def test_a_mounts_own_proxy_wins_over_the_supervisors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://supervisors.test:1")
    theirs = resolve(spec())
    own = resolve(spec(environment={"HTTPS_PROXY": "http://own.test:1"}))
    none = resolve(spec(environment={"NO_PROXY": "*"}))

    assert theirs.proxy is not None
    assert own.proxy is not None
    assert theirs.proxy.get_secret_value() == "http://supervisors.test:1"
    assert own.proxy.get_secret_value() == "http://own.test:1"
    assert none.proxy is None


def test_a_proxy_that_can_not_be_used_leaves_a_mount_without_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hush@proxy.test")

    with pytest.raises(AccessUnavailable, match="HTTPS_PROXY: SOCKS proxy is not supported"):
        resolve(spec())


def access(endpoint: str, proxy: str | None) -> Access:
    keys = Credentials(access_key=ACCESS_KEY, secret_key=SecretStr(SECRET_KEY))
    by = SecretStr(proxy) if proxy else None
    return Access(name="m", endpoint=endpoint, region="us-east-1", credentials=keys, proxy=by)


async def read(client: HttpClient, key: str, size: int) -> bytes:
    memory = memoryview(bytearray(size))
    info = await client.head_object(key)
    await client.get_object(key, offset=0, buffers=[memory], if_match=info.etag, progress=lambda _count: None)
    return bytes(memory)


def test_a_request_without_tls_goes_to_the_proxy_with_its_whole_url_and_the_password(moto: MotoServer) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "a b", b"mine")

    async def main(proxy: ForwardProxy) -> None:
        client = HttpClient(
            access(f"{moto.endpoint}/{bucket}", f"http://me:pa%3Ass@{proxy.address}"), stats=EngineStats()
        )
        assert await read(client, "a b", 4) == b"mine"
        assert [entry.key for entry in (await client.list_objects("")).objects] == ["a b"]
        await client.aclose()

    with ForwardProxy("me:pa:ss") as proxy:
        trio.run(main, proxy)
        assert proxy.requests[0] == f"{moto.endpoint}/{bucket}/a%20b"
        assert len(proxy.requests) == 3
        assert proxy.connects == []


@pytest.fixture
def authority() -> Authority:
    return Authority("s3")


def test_tls_goes_through_a_tunnel_which_the_proxy_can_not_read(
    moto: MotoServer, tmp_path: Path, authority: Authority
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"mine")

    async def main(endpoint: str, proxy: ForwardProxy) -> None:
        client = HttpClient(
            access(f"{endpoint}/{bucket}", f"http://me:pass@{proxy.address}"),
            stats=EngineStats(),
            trust=tls.trust_in(authority.pem),
        )
        assert await read(client, "x", 4) == b"mine"
        await client.aclose()

    with FaultyProxy(moto.endpoint, tls=authority.server_side(tmp_path)) as s3, ForwardProxy("me:pass") as proxy:
        trio.run(main, s3.endpoint, proxy)
        assert proxy.connects == [s3.endpoint.removeprefix("https://")]
        assert proxy.requests == []
        assert [seen.headers.get("proxy-authorization") for seen in s3.seen] == [None, None]


def failure(endpoint: str, proxy: str) -> S3Error:
    async def main() -> None:
        client = HttpClient(access(endpoint, proxy), stats=EngineStats(), attempts_max=1)
        try:
            await client.probe()
        finally:
            await client.aclose()

    with pytest.raises(S3Error) as caught:
        trio.run(main)
    assert "hush" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("endpoint", ["http://s3.test/bucket", "https://s3.test/bucket"])
def test_a_proxy_that_asks_who_we_are_is_told_as_that(endpoint: str) -> None:
    with ForwardProxy("me:pass") as proxy:
        wants, takes_not = failure(endpoint, proxy.url), failure(endpoint, f"http://me:hush@{proxy.address}")

    assert f"the proxy {proxy.address} wants a user and password (status 407)" in str(wants)
    assert "does not take the user and password (status 407)" in str(takes_not)


def test_a_proxy_that_does_not_connect_is_told_with_its_status() -> None:
    with ForwardProxy(refuses=503) as proxy:
        told = failure("https://s3.test/bucket", f"http://me:hush@{proxy.address}")

    assert isinstance(told, Unreachable)
    assert f"the proxy {proxy.address} does not connect to s3.test:443: it answers with status 503" in str(told)


def test_a_proxy_that_is_not_there_is_told_and_not_s3() -> None:
    with ForwardProxy() as proxy:
        address = proxy.address

    assert f"the proxy {address} refused the connection" in str(failure("https://s3.test/bucket", f"http://{address}"))


def test_another_proxy_has_connections_of_its_own(moto: MotoServer) -> None:
    bucket = moto.bucket()
    endpoint = f"{moto.endpoint}/{bucket}"

    async def main(first: ForwardProxy, second: ForwardProxy) -> None:
        client = client_for(spec(bucket=bucket), access(endpoint, first.url), EngineStats())
        await client.probe()
        client.use(access(endpoint, second.url))
        await client.probe()
        client.use(access(endpoint, None))
        await client.probe()
        await client.aclose()

    with ForwardProxy() as first, ForwardProxy() as second:
        trio.run(main, first, second)
        assert [len(first.requests), len(second.requests)] == [1, 1]
