"""Every link of the chain of credentials, each against a server that speaks its protocol on loopback.

botocore walks the chain; what is ours is that a link is found by the mount's profile and the environment alone, that
its keys, token and expiry arrive, that it is told by name, and that the next load asks again.
"""

import hashlib
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from engine.link import Credentials
from engine.s3 import access as under_test
from engine.s3.access import AccessUnavailable, CredentialSource
from tests.servers import MotoServer

ROLE = "arn:aws:iam::123456789012:role/reader"
# What instance metadata, containers and SSO may take: each test's own is there at once.
LIVES_SECONDS = 3600


class Vendor:
    """An HTTP server of credentials: `answers` by method and path; `seen` has each request's path and headers."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.status = 200  # of what is answered at all
        self.seen: list[tuple[str, dict[str, str]]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                path = f"{self.command} {self.path.partition('?')[0]}"
                vendor.seen.append((path, {name.lower(): value for name, value in self.headers.items()}))
                body = vendor.answers.get(path)
                self.send_response(vendor.status if body is not None else 404)
                data = (body or "").encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = answer  # noqa: N815 http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    it = Vendor()
    yield it
    it.close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file. What is below HOME, which botocore looks up once, is the test's own too."""
    file = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(tmp_path / "sso"))
    return file


def expiry() -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=LIVES_SECONDS)).replace(microsecond=0)


def issued(access_key: str, **other_names: str) -> str:
    """Keys as containers and instance metadata hand them out."""
    keys = {"AccessKeyId": access_key, "SecretAccessKey": f"secret of {access_key}", "Token": f"token of {access_key}"}
    return json.dumps(keys | {"Code": "Success", "Expiration": f"{expiry():%Y-%m-%dT%H:%M:%SZ}"} | other_names)


def assert_keys(found: Credentials, access_key: str, source: str) -> None:
    """All of what was issued has arrived, and only the access key shows."""
    assert (found.access_key, found.source) == (access_key, source)
    assert found.secret_key.get_secret_value() == f"secret of {access_key}"
    assert found.token is not None
    assert found.token.get_secret_value() == f"token of {access_key}"
    assert found.expires is not None
    assert 0 < found.expires - time.time() <= LIVES_SECONDS
    assert "secret of" not in repr(found)
    assert "token of" not in repr(found)


def assert_is_a_role(found: Credentials, source: str) -> None:
    """moto's STS has issued them."""
    assert found.access_key.startswith("ASIA")
    assert found.source == source
    assert found.token is not None
    assert found.expires is not None
    assert found.expires > time.time() + 600


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(AccessUnavailable) as caught:
        call()
    return str(caught.value)


CONTAINER = "GET /v2/keys"


@pytest.fixture
def container(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{vendor.url}/v2/keys")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
    vendor.answers[CONTAINER] = issued("CONTAINER")
    return vendor


def test_a_containers_agent_is_asked_with_its_token_each_time(config: Path, container: Vendor) -> None:
    source = CredentialSource(None)

    assert_keys(source.load(), "CONTAINER", "container")
    container.answers[CONTAINER] = issued("NEXT")
    assert_keys(source.load(), "NEXT", "container")
    assert [headers["authorization"] for _, headers in container.seen] == ["let-me-in"] * 2


INSTANCE = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture
def instance(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """Instance metadata, the version that wants a token first."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", vendor.url)
    vendor.answers |= {
        "PUT /latest/api/token": "session-of-imds",
        f"GET {INSTANCE}": "reader-role",
        f"GET {INSTANCE}reader-role": issued("INSTANCE"),
    }
    return vendor


def test_the_instances_role_is_had_from_its_metadata_service(config: Path, instance: Vendor) -> None:
    source = CredentialSource(None)

    assert_keys(source.load(), "INSTANCE", "instance")
    instance.answers[f"GET {INSTANCE}reader-role"] = issued("NEXT")
    assert_keys(source.load(), "NEXT", "instance")
    told = [headers.get("x-aws-ec2-metadata-token") for path, headers in instance.seen if path.startswith("GET")]
    assert told == ["session-of-imds"] * 4


@pytest.mark.parametrize("link", ["Ec2InstanceMetadata", "EcsContainer", "Environment"])
def test_a_role_is_assumed_with_the_keys_of_its_credential_source(
    config: Path, link: str, moto: MotoServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if link == "Environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        asked = None
    else:
        asked = request.getfixturevalue("instance" if link == "Ec2InstanceMetadata" else "container")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
    config.write_text(
        f"[profile role]\nregion = us-east-1\nrole_arn = {ROLE}\ncredential_source = {link}\nexternal_id = ours\n"
    )

    assert_is_a_role(CredentialSource("role").load(), "role")
    assert asked is None or asked.seen


def test_a_web_identity_is_exchanged_for_a_role_and_its_file_read_each_time(
    config: Path, tmp_path: Path, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("signed.by.the-cluster")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    source = CredentialSource(None)

    assert_is_a_role(source.load(), "web-identity")
    token.unlink()
    told = reason(source.load)
    assert str(token) in told
    assert "the-cluster" not in told


def sso_login(tmp_path: Path, name: str, *, expires: datetime, token: str = "sso-very-secret") -> None:
    """What `aws sso login` leaves behind."""
    cache = tmp_path / "sso"
    cache.mkdir()
    login = {"accessToken": token, "expiresAt": f"{expires:%Y-%m-%dT%H:%M:%SZ}", "region": "us-east-1"}
    (cache / f"{hashlib.sha1(name.encode()).hexdigest()}.json").write_text(json.dumps(login))


SSO = (
    "[profile me]\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = reader\nregion = us-east-1\n"
    "[sso-session work]\nsso_start_url = https://work.test/start\nsso_region = us-east-1\n"
)


def test_the_sign_on_of_a_person_is_exchanged_for_a_role(
    config: Path, tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", vendor.url)
    config.write_text(SSO)
    sso_login(tmp_path, "work", expires=expiry())
    keys = {
        "accessKeyId": "SSO",
        "secretAccessKey": "secret of SSO",
        "sessionToken": "token of SSO",
        "expiration": int(expiry().timestamp() * 1000),
    }
    vendor.answers["GET /federation/credentials"] = json.dumps({"roleCredentials": keys})

    assert_keys(CredentialSource("me").load(), "SSO", "sso")
    assert vendor.seen[0][1]["x-amz-sso_bearer_token"] == "sso-very-secret"


def test_a_sign_on_that_has_run_out_is_told_without_its_token(config: Path, tmp_path: Path, vendor: Vendor) -> None:
    config.write_text(SSO)
    sso_login(tmp_path, "work", expires=datetime.now(UTC) - timedelta(hours=1))

    told = reason(CredentialSource("me").load)

    assert told.startswith("profile 'me': ")
    assert "expired" in told
    assert "sso-very-secret" not in told


@pytest.mark.parametrize("answer", ["{}", "no json", '{"Code": "Failed", "Message": "no role here"}'])
def test_an_agent_that_answers_nonsense_is_told_and_nothing_is_made_of_it(
    config: Path, container: Vendor, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.0)
    container.answers[CONTAINER] = answer

    told = reason(CredentialSource(None).load)

    assert told.startswith("the default credentials: ")
    assert "let-me-in" not in told


@pytest.mark.parametrize("status", [403, 500])
def test_an_agent_that_refuses_is_told_by_its_status_and_not_by_what_it_says(
    config: Path, container: Vendor, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.0)
    container.status = status
    container.answers[CONTAINER] = "let-me-in is no token of mine"

    told = reason(CredentialSource(None).load)

    assert told == f"the default credentials: the container's agent answered with status {status}"


def test_a_sign_on_that_is_no_header_is_told_without_it(
    config: Path, tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", vendor.url)
    config.write_text(SSO)
    sso_login(tmp_path, "work", expires=expiry(), token="sso-very-secret\n")

    told = reason(CredentialSource("me").load)

    assert told.startswith("profile 'me': ")
    assert "sso-very-secret" not in told


def sts_error(code: str, message: str) -> str:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmVk"
DENIED = f"User: arn:aws:iam::123456789012:user/me is not authorized to perform: sts:AssumeRole on resource: {ROLE}"


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("AccessDenied", DENIED, f"AccessDenied: {DENIED}"),
        ("AccessDenied", f"{JWT} is not welcome", "AccessDenied: (hidden) is not welcome"),
        ("AccessDenied", f"token:{JWT}, really", "AccessDenied: (hidden), really"),
        (
            "InvalidIdentityToken",
            f"no provider for https://oidc.test/id/0123456789?t={JWT}",
            "for https://oidc.test/id/0123456789",
        ),
        ("ValidationError", "Value 'pa55' at 'webIdentityToken' is too short", "ValidationError"),
        (
            "SignatureDoesNotMatch",
            "The canonical string should have been 'x-amz-security-token:pa55'",
            "SignatureDoesNotMatch",
        ),
        (f"pa55 {JWT}", "", "an error without a code"),
    ],
)
def test_a_role_that_is_refused_is_told_by_the_servers_code_and_by_its_words_only_where_they_hold_no_secret(
    config: Path, tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, code: str, message: str, told: str
) -> None:
    token = tmp_path / "token"
    token.write_text(JWT)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", vendor.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    vendor.status = 400
    vendor.answers["POST /"] = sts_error(code, message)

    said = reason(CredentialSource(None).load)

    assert said.startswith("the default credentials: AssumeRoleWithWebIdentity: ")
    assert told in said
    assert JWT not in said
    assert "pa55" not in said


def test_each_link_has_a_name_that_status_may_show() -> None:
    assert set(under_test._SOURCES.values()) == {
        *("environment", "profile", "role", "web-identity", "credential-process", "sso", "container", "instance"),
    }
