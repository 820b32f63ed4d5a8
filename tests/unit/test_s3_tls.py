"""TLS: bytes come through whole, certificates are checked, and no read waits for what has come already."""

import datetime as dt
import os
import socket
import ssl
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.errors import AccessDenied, Unreachable
from engine.link import Access
from engine.s3 import tls, wire
from engine.s3.client import HttpClient
from engine.s3.interface import UploadOptions
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer, error, ranged

DATA = os.urandom(3_000_000)
HEAD = Answer(200, {"Content-Length": "5", "ETag": '"e"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for `localhost` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def server_side(certificate: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("version", VERSIONS)
def test_ranges_come_through_whole_over_one_connection(certificate: Path, version: ssl.TLSVersion) -> None:
    sizes = [1, 16_383, 16_385, 262_144, 300_001, 1_048_576, 2_999_999]
    server = ScriptedServer([ranged(DATA, 1, size) for size in sizes])

    async def main() -> None:
        async with server.running(tls=server_side(certificate, version), host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats(), trust=tls.trust(str(certificate)))
            for size in sizes:
                memory = bytearray(size)
                with trio.fail_after(15):
                    await client.get_object(
                        "k", offset=1, buffers=[memoryview(memory)], if_match='"e"', progress=lambda _count: None
                    )
                assert memory == DATA[1 : 1 + size]
            await client.aclose()

    trio.run(main)
    assert server.connections == 1


def test_a_body_that_breaks_off_is_resumed(certificate: Path) -> None:
    server = ScriptedServer([ranged(DATA, 0, 500_000, cut=0), ranged(DATA, 0, 500_000)])
    stats = EngineStats()

    async def main() -> None:
        async with server.running(tls=server_side(certificate), host="localhost"):
            client = HttpClient(server.access(), stats=stats, trust=tls.trust(str(certificate)))
            memory = bytearray(500_000)
            await client.get_object(
                "k", offset=0, buffers=[memoryview(memory)], if_match='"e"', progress=lambda _count: None
            )
            assert memory == DATA[:500_000]
            await client.aclose()

    trio.run(main)
    assert stats.s3_retries == 1


def refused(server: ScriptedServer, certificate: Path, trust: ssl.SSLContext | None, host: str) -> Unreachable:
    async def main() -> Unreachable:
        async with server.running(tls=server_side(certificate), host=host):
            client = HttpClient(server.access(), stats=EngineStats(), trust=trust)
            with pytest.raises(Unreachable) as caught:
                await client.head_object("k")
            await client.aclose()
            return caught.value

    return trio.run(main)


def test_an_unknown_authority_is_refused_without_a_retry(certificate: Path) -> None:
    server = ScriptedServer([Answer()])
    failure = refused(server, certificate, tls.trust(None), "localhost")
    assert "not trusted" in str(failure)
    assert server.seen == []
    assert server.connections == 1


def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    failure = refused(ScriptedServer([Answer()]), certificate, tls.trust(str(certificate)), "127.0.0.1")
    assert "not trusted" in str(failure)


def test_aws_ca_bundle_says_which_authorities_are_trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    server = ScriptedServer([HEAD])

    async def main() -> None:
        async with server.running(tls=server_side(certificate), host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats())
            assert (await client.head_object("k")).size == 5
            await client.aclose()

    trio.run(main)


def test_an_aws_ca_bundle_that_is_not_there_is_named(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    failure = refused(ScriptedServer([Answer()]), certificate, None, "localhost")
    assert "AWS_CA_BUNDLE" in str(failure)


def test_a_plain_server_behind_an_https_endpoint_is_told_as_a_tls_failure() -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.receive_some()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, plain, 0, host="127.0.0.1"))
            port = listeners[0].socket.getsockname()[1]
            access = Access(name="m", endpoint=f"https://127.0.0.1:{port}/b", region="us-east-1")
            client = HttpClient(access, stats=EngineStats(), attempts_max=1)
            with pytest.raises(Unreachable, match="TLS with S3"):
                await client.head_object("k")
            await client.aclose()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_server_that_never_shakes_hands_is_given_up() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, silent, 0, host="127.0.0.1"))
            port = listeners[0].socket.getsockname()[1]
            access = Access(name="m", endpoint=f"https://127.0.0.1:{port}/b", region="us-east-1")
            client = HttpClient(access, stats=EngineStats(), attempts_max=1)
            with pytest.raises(Unreachable, match="gave no connection"):
                await client.head_object("k")
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.02))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_body_is_encrypted_from_its_buffers_and_arrives_whole(certificate: Path, version: ssl.TLSVersion) -> None:
    buffers = [memoryview(DATA)[:1_000_000], b"-", *[memoryview(DATA)] * 5]
    server = ScriptedServer([Answer(200, {"ETag": '"e"'}, take_pause=0.001), Answer(200, {"ETag": '"e"'})])

    async def main() -> None:
        async with server.running(tls=server_side(certificate, version), host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats(), trust=tls.trust(str(certificate)), attempts_max=1)
            for body in (buffers, [b"small"]):
                await client.put_object("k", body=body, upload=UploadOptions())
            await client.aclose()

    trio.run(main)
    assert [seen.body for seen in server.seen] == [b"".join(buffers), b"small"]
    assert server.connections == 1


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_in_mid_body_is_told_over_tls_too(
    certificate: Path, version: ssl.TLSVersion, *, closes: bool
) -> None:
    told = error(403, "AccessDenied")
    server = ScriptedServer([Answer(told.status, told.headers, told.body, take=100_000, close=closes)])

    async def main() -> None:
        async with server.running(tls=server_side(certificate, version), host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats(), trust=tls.trust(str(certificate)), attempts_max=1)
            with pytest.raises(AccessDenied):
                await client.put_object("k", body=[memoryview(DATA)] * 8, upload=UploadOptions())
            await client.aclose()

    trio.run(main)


async def head_over(client: HttpClient, connections: int) -> None:
    """A HEAD over each of so many connections at a time."""
    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(client.head_object, "k")


@pytest.mark.parametrize("version", VERSIONS)
def test_connections_after_the_first_go_on_with_its_session(certificate: Path, version: ssl.TLSVersion) -> None:
    server = ScriptedServer([HEAD])

    async def main() -> None:
        async with server.running(tls=server_side(certificate, version), host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats(), trust=tls.trust(str(certificate)))
            await client.head_object("k")
            await head_over(client, 4)
            await client.aclose()

    trio.run(main)
    assert server.resumed == [False, True, True, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_knows_the_session_no_more_gets_a_whole_handshake(
    certificate: Path, version: ssl.TLSVersion
) -> None:
    server = ScriptedServer([HEAD])

    async def main() -> None:
        async with server.running(tls=server_side(certificate, version), host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats(), trust=tls.trust(str(certificate)), attempts_max=1)
            await client.head_object("k")
            server.tls = server_side(certificate, version)  # with other keys for its tickets
            await head_over(client, 2)
            await head_over(client, 3)
            await client.aclose()

    trio.run(main)
    assert server.resumed == [False, False, True]


def test_a_session_is_for_one_client_one_endpoint_and_one_trust(certificate: Path) -> None:
    server, other = ScriptedServer([HEAD]), ScriptedServer([HEAD])

    async def main() -> None:
        context = server_side(certificate)  # both know each other's sessions
        trust = tls.trust(str(certificate))
        async with server.running(tls=context, host="localhost"), other.running(tls=context, host="localhost"):
            client = HttpClient(server.access(), stats=EngineStats(), trust=trust)
            await client.head_object("k")
            client.use(other.access())
            await client.head_object("k")
            client.use(server.access())
            await client.head_object("k")
            await client.aclose()
            again = HttpClient(server.access(), stats=EngineStats(), trust=trust)
            await again.head_object("k")
            await again.aclose()

    trio.run(main)
    assert server.resumed == [False, False, False]
    assert other.resumed == [False]


def test_a_session_is_not_offered_with_another_trust_nor_after_a_failure(certificate: Path) -> None:
    trust, others = tls.trust(str(certificate)), tls.trust_in(certificate.read_text())
    sessions = tls.Sessions()

    async def connect(server: ScriptedServer, context: ssl.SSLContext) -> None:
        port = int(server.url.rpartition(":")[2])
        plain = await wire.connect((socket.AF_INET, ("127.0.0.1", port)))
        stream = await tls.handshake(plain, "localhost", context, sessions)
        await stream.send(b"HEAD /b/k HTTP/1.1\r\n\r\n")
        await stream.receive_into(memoryview(bytearray(1000)), 1)
        stream.rest()
        stream.close()

    async def main() -> None:
        server = ScriptedServer([HEAD])
        async with server.running(tls=server_side(certificate), host="localhost"):
            await connect(server, trust)
            await connect(server, trust)
            assert sessions.of(trust) is not None
            assert sessions.of(others) is None
            await connect(server, others)
            assert sessions.of(trust) is None
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # has no certificate
            with pytest.raises(ssl.SSLError):
                await connect(server, others)
            assert sessions.of(others) is None
        assert server.resumed == [False, True, False]

    trio.run(main)
