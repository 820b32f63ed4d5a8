"""Proxies between an engine and S3: which one an endpoint is reached by, and how one is asked to connect.

Used by location.py (the broker chooses, by variables that an engine doesn't see), request.py and pool.py. The rules are
pure. The URL of a proxy may have a password in it: no error, name or repr shows more than host and port.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from engine.errors import Unreachable
from engine.s3.http1 import END_OF_HEAD, HEAD_BYTES_MAX, parse_head
from engine.s3.wire import PlainWire

# Where a proxy's URL has none, as for what asks for credentials (urllib3).
_PORT: Final = 80
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_EVERYTHING: Final = "*"
_UNAUTHORISED: Final = 407


class ProxyUnusable(ValueError):
    """A proxy was named that can't be used. The text is a sentence for a person, without the URL."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `authorization` is the header's value; empty: it wants none."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return _authority(self.host, self.port)

    @property
    def header(self) -> str:
        """The line of a request's head that says who asks; empty: none."""
        return f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""


def choose(endpoint: str, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy that an endpoint is to be reached by; None: directly. Raises ProxyUnusable.

    HTTPS_PROXY or HTTP_PROXY, by the endpoint's scheme, unless NO_PROXY names its host; in small letters they win, as
    for curl and Python.
    """
    parts = urlsplit(endpoint)
    name = f"{parts.scheme}_proxy"
    url = _value(environ, name)
    if not url or not parts.hostname:
        return None
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    if is_excepted(parts.hostname, port, _value(environ, "no_proxy")):
        return None
    try:
        parse(url)
    except ProxyUnusable as error:
        raise ProxyUnusable(f"{name.upper()}: {error}") from None
    return url


def parse(url: str) -> Proxy:
    """Take a proxy's URL apart, `http://[USER:PASSWORD@]HOST[:PORT]` or `HOST:PORT`. Raises ProxyUnusable."""
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ProxyUnusable("not the URL of a proxy: write http://HOST:PORT") from None
    if parts.scheme != "http":
        kind = "SOCKS" if parts.scheme.startswith("socks") else "that kind of"
        what = "a proxy that speaks TLS itself" if parts.scheme == "https" else f"{kind} proxy"
        raise ProxyUnusable(f"{what} is not supported: write http://HOST:PORT")
    if not host or not re.match(r"^[0-9A-Za-z._:%-]+$", host):
        raise ProxyUnusable("not the URL of a proxy: write http://HOST:PORT")
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(secret.encode()).decode()}"
    return Proxy(host, _PORT if port is None else port, authorization)


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is one of NO_PROXY's: a name or what is below it, an address, a network (CIDR), `*`.

    Each may have `:PORT` behind it, and a name a dot or `*.` in front.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        if entry == _EVERYTHING:
            return True
        named, entry_port = _split_port(entry)
        if not named or (entry_port is not None and entry_port != port):
            continue
        if address is not None:
            if _has(named, address):
                return True
        elif _is_below(host.lower().rstrip("."), named.removeprefix("*").strip(".")):
            return True
    return False


async def tunnel(plain: PlainWire, proxy: Proxy, host: str, port: int) -> None:
    """Have the proxy connect to a host: from then on, the wire is one to that. Raises Unreachable, OSError."""
    there = _authority(host, port)
    await plain.send(f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n{proxy.header}\r\n".encode())
    answer = b""
    memory = memoryview(bytearray(HEAD_BYTES_MAX))
    while END_OF_HEAD not in answer:
        count = await plain.receive_into(memory, 1)
        answer += memory[:count]
        if not count or len(answer) > HEAD_BYTES_MAX:
            raise Unreachable(f"the proxy {proxy.name} gave no answer when it was to connect to {there}")
    try:
        status = parse_head(answer[: answer.index(END_OF_HEAD)].decode("latin-1"), "CONNECT").status
    except ValueError:
        raise Unreachable(f"the proxy {proxy.name} does not speak HTTP") from None
    if status == _UNAUTHORISED:
        raise unauthorised(proxy)
    if not 200 <= status < 300:
        raise Unreachable(f"the proxy {proxy.name} does not connect to {there}: it answers with status {status}")


def unauthorised(proxy: Proxy) -> Unreachable:
    """The error for a proxy that asks who we are."""
    what = "does not take the user and password" if proxy.authorization else "wants a user and password"
    return Unreachable(
        f"the proxy {proxy.name} {what} (status 407): set HTTPS_PROXY (HTTP_PROXY) to http://USER:PASSWORD@HOST:PORT "
        "in the supervisor's environment"
    )


def is_unauthorised(status: int) -> bool:
    """Whether it is a proxy's answer to whom it does not know; S3 has none such."""
    return status == _UNAUTHORISED


def _value(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _split_port(entry: str) -> tuple[str, int | None]:
    """A name or address, and the port behind it. IPv6 addresses have a port only in brackets."""
    if found := re.match(r"^\[([^\]]*)\](?::([0-9]{1,5}))?$", entry):
        return found[1], int(found[2]) if found[2] else None
    if found := re.match(r"^([^:]*):([0-9]{1,5})$", entry):
        return found[1], int(found[2])
    return entry, None


def _has(named: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(named, strict=False)
    except ValueError:
        return False  # a name


def _is_below(host: str, name: str) -> bool:
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
