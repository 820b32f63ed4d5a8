"""Our signatures are those that botocore makes, whatever the key, the query and the headers."""

import datetime as dt
import time

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.link import Access, Credentials
from engine.s3.request import Request, Sender, parse_endpoint
from engine.s3.sign import Signer, encode_path, encode_query

NOW = 1_790_000_000.0

# Everything that has hurt somebody: blanks, signs of URLs, doubled slashes, dots, line ends, beyond ASCII and the BMP.
HARD = st.sampled_from([*" %+/~.?#&=;,:@!$'()*[]{}<>\"\\^`|\t\n\r\x01\x7fäß日本\U0001f600", "//", "/../", "%2F"])
TEXTS = st.lists(st.one_of(HARD, st.text("abcXYZ019-_", min_size=1, max_size=5)), min_size=1, max_size=12).map("".join)


def of_botocore(
    monkeypatch: pytest.MonkeyPatch, method: str, url: str, headers: dict[str, str], token: str | None
) -> str:
    """The Authorization header that botocore puts on the same request at the same time."""

    at = dt.datetime.fromtimestamp(NOW, dt.UTC).replace(tzinfo=None)
    request = AWSRequest(method=method, url=url, headers=headers)
    request.context["payload_signing_enabled"] = True
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    auth = S3SigV4Auth(BotoCredentials("AKIDEXAMPLE", "secret/key+", token), "s3", "eu-west-1")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: at)
    auth.add_auth(request)
    authorization: str = request.headers["Authorization"]
    return authorization


@given(
    method=st.sampled_from(["GET", "HEAD"]),
    key=TEXTS,
    query=st.dictionaries(st.sampled_from(["prefix", "delimiter", "continuation-token", "list-type"]), TEXTS),
    token=st.one_of(st.none(), st.text("abcdef+/=", min_size=1, max_size=40)),
    port=st.sampled_from(["", ":9000"]),
    payer=st.booleans(),
)
@settings(max_examples=1500, deadline=None)
def test_signature_of_any_request_is_botocores(
    method: str, key: str, query: dict[str, str], token: str | None, port: str, payer: bool
) -> None:
    authority = f"s3.example.com{port}"
    path, text = "/bucket/" + encode_path(key), encode_query(query.items())
    extra = [("x-amz-request-payer", "requester")] if payer else []
    signer = Signer("AKIDEXAMPLE", "secret/key+", token, "eu-west-1")

    ours = dict(signer.sign(method, authority, path, text, extra, NOW))

    url = f"http://{authority}{path}" + (f"?{text}" if text else "")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert ours["authorization"] == of_botocore(monkeypatch, method, url, dict(extra), token)


def test_a_new_day_and_a_new_second_change_the_signature() -> None:
    signer = Signer("AK", "SK", None, "eu-west-1")

    def at(now: float) -> tuple[str, str]:
        headers = dict(signer.sign("GET", "h", "/", "", [], now))
        return headers["x-amz-date"], headers["authorization"]

    before, same, second, day = at(NOW), at(NOW + 0.4), at(NOW + 1), at(NOW + 86_400)
    assert before == same
    assert len({before, second, day}) == 3
    assert time.strftime("%Y%m%d/", time.gmtime(NOW + 86_400)) in day[1]
    assert day == tuple(dict(Signer("AK", "SK", None, "eu-west-1").sign("GET", "h", "/", "", [], NOW + 86_400))[n]
                        for n in ("x-amz-date", "authorization"))  # fmt: skip


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://127.0.0.1:9000/bucket", "127.0.0.1:9000", "/bucket"),
        ("https://bucket.s3.eu-west-1.amazonaws.com", "bucket.s3.eu-west-1.amazonaws.com", ""),
        ("https://bucket.s3.amazonaws.com:443/", "bucket.s3.amazonaws.com", ""),
        ("http://store:80/bucket/", "store", "/bucket"),
        ("https://store:80/bucket", "store:80", "/bucket"),
        ("http://[::1]:9000/b", "[::1]:9000", "/b"),
    ],
)
def test_the_port_is_in_the_host_header_unless_it_is_the_schemes_own(url: str, authority: str, path: str) -> None:
    endpoint = parse_endpoint(url)
    assert (endpoint.authority, endpoint.path) == (authority, path)


@pytest.mark.parametrize("url", ["ftp://host/bucket", "host/bucket", "http:///bucket", ""])
def test_an_endpoint_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        parse_endpoint(url)


def head(access: Access, request: Request) -> list[str]:
    return Sender(access, "agent/1", clock=lambda: NOW).head(request).decode().split("\r\n")


def test_an_anonymous_request_carries_no_signature() -> None:
    access = Access(name="m", endpoint="http://host:9000/bucket", region="eu-west-1")

    lines = head(access, Request("GetObject", "GET", "a b", headers=(("Range", "bytes=0-9"),)))

    assert lines == [
        "GET /bucket/a%20b HTTP/1.1", "Host: host:9000", "User-Agent: agent/1", "Range: bytes=0-9", "", "",
    ]  # fmt: skip


def test_a_listing_of_a_virtual_host_asks_for_the_root() -> None:
    keys = Credentials(access_key="AK", secret_key="SK", token="T")
    access = Access(name="m", endpoint="https://b.s3.example.com", region="eu-west-1", credentials=keys)

    lines = head(access, Request("ListObjectsV2", "GET", None, query=(("prefix", "a/ b"), ("list-type", "2"))))

    assert lines[0] == "GET /?list-type=2&prefix=a%2F%20b HTTP/1.1"
    assert "x-amz-security-token: T" in lines
    assert not any("SK" in line for line in lines)
