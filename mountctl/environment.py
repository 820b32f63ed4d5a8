"""Environment variables that people set for Mountpoint, or for programs of theirs, and that do nothing here.

Called by daemon.py at its start: none is passed over in silence. Pure. What is honoured is read where it is used: AWS_*
and proxies by the broker, MOUNTCTL_* by cli.py.
"""

from collections.abc import Iterator, Mapping
from typing import Final

# In either spelling.
_ALL_PROXY: Final = ("ALL_PROXY", "all_proxy")
_BY_SCHEME: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")

_LOG: Final = "MOUNTPOINT_LOG"
# Mountpoint's own switches: none of them has a meaning for another program.
_PREFIXES: Final = ("UNSTABLE_MOUNTPOINT_", "EXPERIMENTAL_MOUNTPOINT_", "UNSTABLE_CRT_")


def unheeded(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is set and not heeded."""
    if not any(environment.get(name) for name in _BY_SCHEME):
        for name in _ALL_PROXY:
            if environment.get(name):
                yield f"{name} is set and not read: set HTTPS_PROXY, and HTTP_PROXY for endpoints without TLS"
    if environment.get(_LOG):
        yield f"{_LOG} is set and not read: the options debug, log-metrics and no-log say what is logged"
    for name in sorted(environment):
        if name.startswith(_PREFIXES):
            yield f"{name} is set and not read: it is a switch of Mountpoint's own"
