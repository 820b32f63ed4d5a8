"""How the mounts' S3 is reached: name, proxy, clock, and where keys come from: `python -m engine.reach`.

Started by `mountctl doctor`, a process of its own. Reads a JSON array of MountSpecs from stdin; writes a Reach a line
for each, as they come. What a mount may do there is asked by inquiry.py. Signs nothing and changes nothing.
"""

import http.client
import logging
import os
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from engine.answers import Reach
from engine.s3 import proxy as proxies
from engine.s3.access import AccessUnavailable, source_of
from engine.s3.surroundings import within
from engine.spec import MountSpec
from engine.variables import as_table

# Mounts that are asked about at once; names and clocks are waited for, not computed.
_AT_ONCE: Final = 8
# As long as a person waits without wondering; a request of an engine gives up later.
SECONDS_MAX: Final = 5.0
# Within a network the metadata service answers in a millisecond.
_METADATA_SECONDS_MAX: Final = 1.0
# How http.client tells that a proxy asks who we are.
_REFUSED_TUNNEL: Final = "Tunnel connection failed: 407"
_METADATA: Final = "http://169.254.169.254"
_INSTANCE: Final = "instance"


def main() -> int:
    """Answer what stdin asks. Returns the exit code."""
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    specs = TypeAdapter(list[MountSpec]).validate_json(sys.stdin.buffer.read())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for answer in pool.map(reach, specs):
            sys.stdout.write(answer.model_dump_json() + "\n")
            sys.stdout.flush()
    return 0


def reach(spec: MountSpec) -> Reach:
    """Everything about one mount."""
    source = source_of(spec)
    try:
        location = source.locate(spec)
    except AccessUnavailable as error:
        return Reach(name=spec.name, trouble=str(error))
    proxy = proxies.parse(location.proxy) if location.proxy else None
    parts = urlsplit(location.endpoint)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = Reach(name=spec.name, endpoint=location.endpoint, host=host)
    if proxy is not None:
        told = {"proxy": proxy.name, "proxy_from": f"{parts.scheme.upper()}_PROXY"}
        found = found.model_copy(update=told)
    addresses, trouble = _addresses(*((host, port) if proxy is None else (proxy.host, proxy.port)))
    found = found.model_copy(update={"addresses": addresses, "name_trouble": trouble})
    if not trouble:
        ahead, trouble = _clock(parts.scheme == "https", host, port, proxy)
        found = found.model_copy(update={"ahead_seconds": ahead, "date_trouble": trouble})
    return found if spec.no_sign_request else found.model_copy(update=_credentials(spec))


def _addresses(host: str, port: int) -> tuple[tuple[str, ...], str]:
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return (), str(getattr(error, "strerror", None) or error)
    return tuple(dict.fromkeys(str(each[4][0]) for each in told)), ""


def _clock(tls: bool, host: str, port: int, proxy: proxies.Proxy | None) -> tuple[float | None, str]:  # noqa: FBT001
    """By how much our clock is ahead. Any answer has a date, also a refusal; certificates are not judged for that."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    first = (host, port) if proxy is None else (proxy.host, proxy.port)
    connection = (
        http.client.HTTPSConnection(*first, timeout=SECONDS_MAX, context=context)
        if tls
        else http.client.HTTPConnection(*first, timeout=SECONDS_MAX)
    )
    headers = {} if proxy is None or not proxy.authorization else {"Proxy-Authorization": proxy.authorization}
    path = "/"
    if proxy is not None and tls:
        connection.set_tunnel(host, port, headers)
        headers = {}
    elif proxy is not None:
        path = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    try:
        began = time.time()
        connection.request("HEAD", path, headers=headers)
        answer = connection.getresponse()
        ended = time.time()
    except (OSError, http.client.HTTPException) as error:
        if proxy is not None and _REFUSED_TUNNEL in str(error):
            return None, str(proxies.unauthorised(proxy))
        return None, str(getattr(error, "strerror", None) or error or type(error).__name__)
    finally:
        connection.close()
    if proxy is not None and proxies.is_unauthorised(answer.status):
        return None, str(proxies.unauthorised(proxy))
    date = answer.headers.get("Date")
    try:
        # The header has whole seconds, cut off.
        return (began + ended) / 2 - (parsedate_to_datetime(date or "").timestamp() + 0.5), ""
    except ValueError:
        return None, ""


def _credentials(spec: MountSpec) -> dict[str, str]:
    """Where keys come from; and if from the instance, or from nowhere, what its metadata service says."""
    told: dict[str, str] = {}
    try:
        told["credentials_source"] = source_of(spec).load().source
    except AccessUnavailable as error:
        told["credentials_trouble"] = str(error)
    with within(as_table(spec.environment) or None):
        disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        address = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA
    from_elsewhere = told.get("credentials_source", _INSTANCE) != _INSTANCE
    if not disabled and not from_elsewhere and spec.profile is None:
        told["metadata"] = _metadata(address)
    return told


def _metadata(address: str) -> str:
    """A token's answer may travel so few hops that a container never has it, while refusals arrive."""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    if _asked(address, "PUT", "/latest/api/token", headers):
        return "ok"
    return "silent" if _asked(address, "GET", "/", {}) else "absent"


def _asked(address: str, method: str, path: str, headers: dict[str, str]) -> bool:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_METADATA_SECONDS_MAX)
    try:
        connection.request(method, path, headers=headers)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
