"""Environment variables that people set for Mountpoint, or for programs of theirs, and that do nothing here.

Called by daemon.py at its start: none is passed over in silence. Pure. What is honoured is read where it is used: AWS_*
by the broker, MOUNTCTL_* by cli.py.
"""

from collections.abc import Iterator, Mapping
from typing import Final

# In either spelling; curl and Python read both.
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_NO_PROXY: Final = ("NO_PROXY", "no_proxy")
_EVERYTHING: Final = "*"

_LOG: Final = "MOUNTPOINT_LOG"
# Mountpoint's own switches: none of them has a meaning for another program.
_PREFIXES: Final = ("UNSTABLE_MOUNTPOINT_", "EXPERIMENTAL_MOUNTPOINT_", "UNSTABLE_CRT_")


def unheeded(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is set and not heeded."""
    proxies = [name for upper in _PROXIES for name in (upper, upper.lower()) if environment.get(name)]
    if proxies and not any(environment.get(name, "").strip() == _EVERYTHING for name in _NO_PROXY):
        yield (
            f"{proxies[0]} is set and not used for S3, whose connections are direct (it is for what credentials are "
            "asked from): let this host reach S3, or set endpoint-url to a server that passes requests on"
        )
    if environment.get(_LOG):
        yield f"{_LOG} is set and not read: the options debug, log-metrics and no-log say what is logged"
    for name in sorted(environment):
        if name.startswith(_PREFIXES):
            yield f"{name} is set and not read: it is a switch of Mountpoint's own"
