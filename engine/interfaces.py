"""The network interfaces of option `bind`. Used by engine/spec.py. Pure."""

import re
from typing import Any, Final

# Linux: IFNAMSIZ without its closing NUL.
INTERFACE_BYTES_MAX: Final = 15


def as_interfaces(value: Any) -> Any:
    """One name, or several; none twice, as each takes its share of the connections."""
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, tuple) else []
    for name in texts:
        if not re.fullmatch(rf"[^/\s:\0]{{1,{INTERFACE_BYTES_MAX}}}", name):
            raise ValueError(f"not the name of a network interface: {name[: 2 * INTERFACE_BYTES_MAX]!r}")
    if len(set(texts)) < len(texts):
        raise ValueError("names an interface twice")
    return names
