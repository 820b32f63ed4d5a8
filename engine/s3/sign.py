"""Signatures for S3 (AWS Signature Version 4, in headers, for requests without a body). Pure: the time is given.

Used by engine/s3/request.py for each attempt, so that a retry carries a fresh date. It is on the way of every small
request: what stays the same for a day (the signing key) or a second (the date) is kept. It never sees a URL's
unencoded form and never logs.
"""

import functools
import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"

# What is signed of the body of a request that has none.
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()

# What is signed of an object's body: that it is not. Its CRC is signed, which S3 compares, and TLS guards the rest;
# SHA-256 would cost 0.65 CPU seconds per GB (measured), more than all of the rest of sending it.
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"

# Parameters of queries whose text is kept: of a LIST's five all but the prefix are the same each time.
_PARAMETERS_KEPT: Final = 64


def encode_path(path: str) -> str:
    """A key or a path as it is sent and signed: everything encoded but unreserved characters and `/`."""
    return quote(path, safe="/~")


def encode_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Parameters in canonical order and encoding; the same text is sent and signed."""
    return "&".join(sorted([_encoded(name, value) for name, value in parameters]))


@functools.lru_cache(maxsize=_PARAMETERS_KEPT)
def _encoded(name: str, value: str) -> str:
    return f"{quote(name, safe='~')}={quote(value, safe='~')}"


class Signer:
    """Signs with one set of keys for one region.

    Args:
        access_key: the key's id.
        secret_key: its secret.
        token: a session's token, or None.
        region: the region that the endpoint expects.
        service: the name to sign for: `s3`, or `s3-outposts`.
    """

    def __init__(self, access_key: str, secret_key: str, token: str | None, region: str, service: str = "s3") -> None:
        self._access_key = access_key
        self._secret = b"AWS4" + secret_key.encode()
        self._token = token
        self._region = region
        self._service = service
        self._second = -1
        self._date = ""
        self._day = ""
        self._scope = ""
        self._key = b""

    def sign(
        self,
        method: str,
        authority: str,
        path: str,
        query: str,
        headers: Iterable[tuple[str, str]],
        now: float,
        payload: str = EMPTY_SHA256,
    ) -> list[tuple[str, str]]:
        """All headers that the signature needs, itself included; `host` excluded, which is sent anyway.

        Args:
            method: GET, HEAD, ...
            authority: the Host header's value: host, and port unless it is the scheme's own.
            path: the target's path, encoded.
            query: the target's query as `encode_query` makes it, or empty.
            headers: further headers to sign (lower-case names): every `x-amz-` one must be.
            now: seconds since the epoch.
            payload: the body's SHA-256 in hexadecimal, or UNSIGNED_PAYLOAD.
        """
        self._at(int(now))
        sent = [*headers, ("x-amz-content-sha256", payload), ("x-amz-date", self._date)]
        if self._token is not None:
            sent.append(("x-amz-security-token", self._token))
        signed = sorted([*sent, ("host", authority)])
        names = ";".join([name for name, _ in signed])
        lines = "\n".join([f"{name}:{value}" for name, value in signed])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n\n{names}\n{payload}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{ALGORITHM}\n{self._date}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        value = f"{ALGORITHM} Credential={self._access_key}/{self._scope}, SignedHeaders={names}, Signature={signature}"
        sent.append(("authorization", value))
        return sent

    def _at(self, second: int) -> None:
        """Bring date, scope and signing key up to the second."""
        if second == self._second:
            return
        self._second = second
        self._date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = self._date[:8]
        if day == self._day:
            return
        self._day = day
        self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
        key = self._secret
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key
