"""Takes away the taint that keeps pods off a node until the driver is there.

Whoever makes nodes gives them the taint `DRIVER/agent-not-ready` (NoExecute), so that no pod with a volume comes before
the driver and waits for kubelet's back-off. It goes once kubelet has registered the driver, which the node's CSINode
object shows. Run in a thread of its own: nothing waits for it.
"""

import logging
import random
import threading
from typing import Any, Final, Protocol

from engine.facts import about
from engine.message_ids import CSI_TAINT
from mountctl.csi.kubernetes_api import ApiError

SUFFIX: Final = "agent-not-ready"
# kubelet registers within seconds; the API may be away for longer. After the first tries it is asked once a minute, for
# an hour in all: whoever then still waits looks into the log.
_DELAY_FIRST_SECONDS: Final = 1.0
_DELAY_MAX_SECONDS: Final = 60.0
TRIES_MAX: Final = 65

_log = logging.getLogger(__name__)


class Nodes(Protocol):
    """kubernetes_api.KubernetesApi. Each raises ApiError."""

    def drivers(self, node: str) -> list[str]:
        """The CSI drivers of a node."""

    def taints(self, node: str) -> list[dict[str, Any]]:
        """The taints of a node."""

    def replace_taints(self, node: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
        """Have other taints."""


def key_of(driver: str) -> str:
    """The taint's key."""
    return f"{driver}/{SUFFIX}"


def without(taints: list[dict[str, Any]], driver: str) -> list[dict[str, Any]]:
    """A node's taints but for the driver's."""
    return [taint for taint in taints if taint.get("key") != key_of(driver)]


def delay(tries: int) -> float:
    """Seconds to wait after the n-th try (1, 2, ...), before jitter: many nodes begin at once."""
    return min(_DELAY_MAX_SECONDS, _DELAY_FIRST_SECONDS * 2.0 ** min(tries - 1, 16))


class StartupTaint:
    """Removes the taint of one node.

    Args:
        nodes: of whom to ask.
        node: the node's name.
        driver: the CSI driver's name.
    """

    def __init__(self, nodes: Nodes, node: str, driver: str) -> None:
        self._nodes = nodes
        self._node = node
        self._driver = driver

    def remove(self, stop: threading.Event) -> bool:
        """Try until the taint is gone, or `stop` is set, or no more. Whether it is gone. Raises nothing."""
        said = ""
        for tries in range(1, TRIES_MAX + 1):
            try:
                if self._try():
                    return True
                trouble = f"kubelet has not registered {self._driver} yet"
            except ApiError as error:
                trouble = str(error)
            if trouble != said:
                said = trouble
                _log.info(
                    "the taint %s of node %s stays for now: %s",
                    key_of(self._driver),
                    self._node,
                    trouble,
                    extra=about(CSI_TAINT),
                )
            if stop.wait(delay(tries) * random.uniform(0.8, 1.2)):
                return False
        _log.error(
            "the taint %s of node %s, if it has it, was not removed: %s; remove it by hand, or start this pod again",
            key_of(self._driver),
            self._node,
            said,
            extra=about(CSI_TAINT),
        )
        return False

    def _try(self) -> bool:
        """Whether it is gone. Raises ApiError."""
        if self._driver not in self._nodes.drivers(self._node):
            return False
        before = self._nodes.taints(self._node)
        after = without(before, self._driver)
        if after != before:
            self._nodes.replace_taints(self._node, before, after)
            _log.info(
                "node %s takes pods: the taint %s is removed", self._node, key_of(self._driver), extra=about(CSI_TAINT)
            )
        return True
