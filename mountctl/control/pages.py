"""What can be looked at without any right to change: metrics and the page of the status, made of the status.

Used by server.py on the control socket, and by listener.py where metrics-listen says.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from engine import collector
from mountctl import status_page
from mountctl.metrics import exposition
from mountctl.status import Status

METRICS: Final = ("/metrics", "/v1/metrics")
STATUS_PAGE: Final = "/"
PATHS: Final = (*METRICS, STATUS_PAGE)


class Page(NamedTuple):
    """An answer.

    Args:
        content_type: of the body.
        body: it.
    """

    content_type: str
    body: bytes


def _json(status: Status) -> dict[str, Any]:
    """The status as JSON has it. What engines count is most of it, and is JSON already: it needs no copy."""
    told = status.model_dump(mode="json", exclude={"mounts": {"__all__": {"stats"}}})
    for mount, known in zip(told["mounts"], status.mounts, strict=True):
        mount["stats"] = known.stats
    return told


def page(path: str, accept: str, status: Callable[[], Status]) -> Page | None:
    """The page at a path, in the form that an Accept header prefers; None: there is none."""
    if path in METRICS:
        openmetrics = exposition.wants_openmetrics(accept)
        with collector.paused():  # none of thousands of objects is in a cycle, and passes take 17 ms with 200 mounts
            text = exposition.text(_json(status()), openmetrics=openmetrics)
        return _page(exposition.OPENMETRICS_TYPE if openmetrics else exposition.PROMETHEUS_TYPE, text)
    if path == STATUS_PAGE:
        return _page(status_page.CONTENT_TYPE, status_page.render(status().model_dump(mode="json")))
    return None


def _page(content_type: str, text: str) -> Page:
    """A path may hold bytes that are no text: they are shown as escapes."""
    return Page(content_type, text.encode(errors="backslashreplace"))
