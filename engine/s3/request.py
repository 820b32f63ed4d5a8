"""What is sent: an endpoint taken apart, and the bytes of a request's head. Pure; client.py sends them.

A head is made anew for each attempt, because its date is signed. It holds the signature: never log one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from engine.link import Access
from engine.s3 import proxy
from engine.s3.interface import Body
from engine.s3.sign import EMPTY_SHA256, Signer, encode_path, encode_query

# Theirs is told even if it is empty: some servers insist.
_WITH_BODY: Final = frozenset({"PUT", "POST"})

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a bucket is: `http://HOST:PORT/BUCKET`, or `https://BUCKET.HOST` with an empty path."""

    host: str
    port: int
    tls: bool
    authority: str  # the Host header: with the port unless it is the scheme's own
    path: str  # "/BUCKET" or ""

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_endpoint(url: str) -> Endpoint:
    """Take an Access's endpoint apart. Raises ValueError if it is not an http or https URL with a host."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"endpoint {url!r} is not an http:// or https:// URL with a host")
    default = _DEFAULT_PORTS[parts.scheme]
    port = parts.port or default
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host if port == default else f"{host}:{port}"
    return Endpoint(parts.hostname, port, parts.scheme == "https", authority, encode_path(parts.path.rstrip("/")))


@dataclass(frozen=True, slots=True)
class Request:
    """One request, before it is signed."""

    operation: str  # S3's name: GetObject, HeadObject, ...
    method: str
    key: str | None  # None: the bucket itself
    query: tuple[tuple[str, str], ...] = ()
    amz_headers: tuple[tuple[str, str], ...] = ()  # signed: `x-amz-...`, `content-type`
    headers: tuple[tuple[str, str], ...] = field(default=())  # not signed: range, if-match
    body: Body = ()
    payload: str = EMPTY_SHA256  # of the body, as it is signed
    answer_seconds: float | None = None  # how long S3 may think about it; None: as about any request
    asks: bool = False  # whether there is something to be had: that there is not is an answer, and no error
    replayed: bool = True  # may go twice without being noticed: over a connection that had been closed, then another

    @property
    def size(self) -> int:
        """The body's, in bytes."""
        return sum(len(buffer) for buffer in self.body)

    @property
    def subject(self) -> str:
        """The key or the listed prefix, for messages."""
        return self.key if self.key is not None else dict(self.query).get("prefix", "")


class Sender:
    """Makes heads for one Access: its endpoint, its keys.

    Args:
        access: endpoint, region and keys; no keys: nothing is signed.
        user_agent: what S3's logs show.
        clock: seconds since the epoch.
    """

    def __init__(self, access: Access, user_agent: str, clock: Callable[[], float] = time.time) -> None:
        self.endpoint = parse_endpoint(access.endpoint)
        self.proxy = proxy.parse(access.proxy.get_secret_value()) if access.proxy is not None else None
        self.region = access.region
        self.signer = _signer(access)
        self._clock = clock
        self._fixed = f"Host: {self.endpoint.authority}\r\nUser-Agent: {user_agent}\r\n"
        self._before = ""  # what precedes a request's path
        if self.proxy is not None and not self.endpoint.tls:  # with TLS it sees only where the connection leads
            self._before = f"http://{self.endpoint.authority}"
            self._fixed += self.proxy.header

    def head(self, request: Request) -> bytes:
        """The request as it goes over the wire. Raises UnicodeEncodeError for a key that is not valid Unicode."""
        path = self.endpoint.path
        if request.key is not None:
            path += "/" + encode_path(request.key)
        path = path or "/"
        query = encode_query(request.query) if request.query else ""
        headers = list(request.amz_headers)
        if self.signer is not None:
            authority = self.endpoint.authority
            headers = self.signer.sign(request.method, authority, path, query, headers, self._clock(), request.payload)
        if request.method in _WITH_BODY:
            headers.append(("Content-Length", str(request.size)))
        lines = "".join([f"{name}: {value}\r\n" for name, value in (*headers, *request.headers)])
        target = f"{self._before}{path}?{query}" if query else f"{self._before}{path}"
        return f"{request.method} {target} HTTP/1.1\r\n{self._fixed}{lines}\r\n".encode()


def _signer(access: Access) -> Signer | None:
    keys = access.credentials
    if keys is None:
        return None
    token = keys.token.get_secret_value() if keys.token is not None else None
    return Signer(keys.access_key, keys.secret_key.get_secret_value(), token, access.region, access.signing_name)
