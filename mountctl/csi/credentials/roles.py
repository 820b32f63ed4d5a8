"""The roles of service accounts, which their annotation names. Asked of the Kubernetes API when a volume is mounted."""

import logging
import threading
from typing import Protocol

from engine.facts import about
from engine.message_ids import CSI_CREDENTIALS
from mountctl.csi.credentials.pod import ROLE_ANNOTATION
from mountctl.errors import MountctlError

_log = logging.getLogger(__name__)


class Annotations(Protocol):
    """kubernetes_api.KubernetesApi."""

    def service_account_annotations(self, namespace: str, name: str) -> dict[str, str]:
        """Of a service account. Waits a few seconds at most. Raises MountctlError."""


class Roles:
    """What annotations say, and have said: kept for when the API can't be asked. Called from several threads.

    Args:
        annotations: of whom to ask.
    """

    def __init__(self, annotations: Annotations) -> None:
        self._annotations = annotations
        self._known: dict[tuple[str, str], str] = {}
        self._mutex = threading.Lock()

    def of(self, namespace: str, service_account: str) -> str:
        """A service account's role; empty: it has none. Raises MountctlError if nobody can tell, and never could."""
        key = namespace, service_account
        try:
            role = self._annotations.service_account_annotations(namespace, service_account).get(ROLE_ANNOTATION, "")
        except MountctlError as error:
            with self._mutex:
                if key not in self._known:
                    raise
                _log.warning(
                    "service account %s/%s: its role is as it was: %s",
                    namespace,
                    service_account,
                    error,
                    extra=about(CSI_CREDENTIALS),
                )
                return self._known[key]
        with self._mutex:
            self._known[key] = role
        return role
