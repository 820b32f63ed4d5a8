"""The few things that the driver asks of the Kubernetes API, from its pod: plain HTTPS, with an end to each wait.

Used by credentials/roles.py (annotations of service accounts) and startup_taint.py. Nothing of it is needed to serve
volumes that are mounted. A client library would bring ten times as much into every node's pod. Of what goes wrong it
writes no Events: kubelet does, in the words of our answers.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from mountctl.errors import MountctlError

# Where kubelet has a pod's service account.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOST: Final = "KUBERNETES_SERVICE_HOST"
_PORT: Final = "KUBERNETES_SERVICE_PORT"

# For a whole request; the API server answers in milliseconds, a busy one in a second or two.
WAIT_SECONDS_MAX: Final = 5.0
# A node's object has some ten kilobytes (its images), etcd's limit is 1.5 MiB.
_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
_USER_AGENT: Final = "mountctl"
_REFUSED: Final = 400


class ApiError(MountctlError):
    """The API can't be asked, or refuses. `status` is HTTP's; None: it was not reached."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class KubernetesApi:
    """Called from several threads; each request has a connection of its own.

    Args:
        host: the API server's name or address.
        port: its port.
        directory: of the service account: `token`, which kubelet renews, and `ca.crt`, which alone is believed.
        wait_seconds: WAIT_SECONDS_MAX.
    """

    def __init__(
        self, host: str, port: int, directory: Path = SERVICE_ACCOUNT, *, wait_seconds: float = WAIT_SECONDS_MAX
    ) -> None:
        self._host = host
        self._port = port
        self._directory = directory
        self._wait_seconds = wait_seconds

    @classmethod
    def in_cluster(
        cls, environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT
    ) -> "KubernetesApi | None":
        """As a pod finds it; None outside of a cluster, or for a pod without a service account's token."""
        host, port = environ.get(_HOST, ""), environ.get(_PORT, "443")
        if not host or not port.isdecimal() or not (directory / "token").is_file():
            return None
        return cls(host, int(port), directory)

    def service_account_annotations(self, namespace: str, name: str) -> dict[str, str]:
        """Of a service account; none if there is no such account. Raises ApiError."""
        try:
            found = self._ask("GET", f"/api/v1/namespaces/{_part(namespace)}/serviceaccounts/{_part(name)}")
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return {}
            raise
        annotations = _mapping(_mapping(found, "metadata"), "annotations")
        return {str(key): str(value) for key, value in annotations.items()}

    def drivers(self, node: str) -> list[str]:
        """The CSI drivers that kubelet of a node has registered; none if it has none yet. Raises ApiError."""
        try:
            found = self._ask("GET", f"/apis/storage.k8s.io/v1/csinodes/{_part(node)}")
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return []
            raise
        drivers = _mapping(found, "spec").get("drivers") or []
        return [str(driver["name"]) for driver in drivers if isinstance(driver, dict) and "name" in driver]

    def taints(self, node: str) -> list[dict[str, Any]]:
        """Of a node. Raises ApiError."""
        found = self._ask("GET", f"/api/v1/nodes/{_part(node)}")
        return [taint for taint in _mapping(found, "spec").get("taints") or [] if isinstance(taint, dict)]

    def replace_taints(self, node: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
        """Have a node other taints, if it still has those before. Raises ApiError."""
        patch = [
            {"op": "test", "path": "/spec/taints", "value": before},
            {"op": "replace", "path": "/spec/taints", "value": after},
        ]
        self._ask("PATCH", f"/api/v1/nodes/{_part(node)}", patch, _JSON_PATCH)

    def _ask(self, method: str, path: str, body: Any = None, kind: str = _JSON) -> dict[str, Any]:
        """One request; the answer's object. Raises ApiError, which has nothing of what was sent but the path."""
        try:
            # Both anew each time: kubelet renews the token, and an authority may be replaced.
            token = (self._directory / "token").read_text().strip()
            trust = ssl.create_default_context(cafile=str(self._directory / "ca.crt"))
        except ssl.SSLError:
            raise ApiError(f"{self._directory / 'ca.crt'} is no certificate of an authority") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ApiError(f"the pod's service account can't be read: {_reason(error)}") from None
        headers = {"Authorization": f"Bearer {token}", "Accept": _JSON, "User-Agent": _USER_AGENT}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), kind
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._wait_seconds, context=trust)
        with contextlib.closing(connection):
            # The socket's own limit is one for each part of an answer, of which there may be many.
            began = time.monotonic()
            end = threading.Timer(self._wait_seconds, _cut, [connection])
            end.start()
            try:
                connection.request(method, path, body=data, headers=headers)
                response = connection.getresponse()
                answer = response.read(_ANSWER_BYTES_MAX)
                if response.length:
                    raise http.client.IncompleteRead(answer, response.length)
            except (OSError, http.client.HTTPException) as error:
                is_late = time.monotonic() - began >= self._wait_seconds
                why = "no answer in time" if is_late else _reason(error)
                raise ApiError(f"the Kubernetes API ({method} {path}): {why}") from None
            except ValueError:  # of a token that is no header, which its text would show
                raise ApiError(f"the token in {self._directory} is not one") from None
            finally:
                end.cancel()
        if response.status >= _REFUSED:
            status = f"{response.status} {http.client.responses.get(response.status, '')}{_hint(response.status)}"
            raise ApiError(f"the Kubernetes API ({method} {path}): {status}", response.status)
        return _object(answer, f"{method} {path}")


def _object(answer: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ApiError(f"the Kubernetes API ({what}): the answer is no object")
    return found


def _cut(connection: http.client.HTTPSConnection) -> None:
    """The time is over: whoever reads gets no more."""
    with contextlib.suppress(OSError, AttributeError):  # it is not connected yet, or not any more
        connection.sock.shutdown(socket.SHUT_RDWR)


def _mapping(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _part(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def _hint(status: int) -> str:
    match status:
        case http.client.UNAUTHORIZED:
            return ": the token of the pod's service account is not accepted"
        case http.client.FORBIDDEN:
            return ": the service account of the driver's pod may not do this (its ClusterRole)"
        case _:
            return ""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not the cluster's: {error.verify_message}"
    return getattr(error, "strerror", None) or type(error).__name__
