"""The environment that a mount's chain of credentials sees: its own, in the thread that asks, and in no other.

Called by access.py. botocore, and what it uses of Python's library (proxies, home directories), read `os.environ` in
dozens of places, not all of which take another mapping; and the broker asks for many mounts at once, in threads. So
within `within` the process's `os.environ` is the mount's, for that thread alone.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Final

from engine.variables import IDENTITY, PROXIES, REGIONS

# How services are reached from this host, and not who asks: a mount with an identity of its own has it as well.
_NEUTRAL: Final = frozenset(
    {
        *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("AWS_CA_BUNDLE", "AWS_DATA_PATH", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
        *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS"),
        *("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
        "AWS_EC2_METADATA_V1_DISABLED",
    }
)
_ENDPOINT: Final = "AWS_ENDPOINT_URL"  # and AWS_ENDPOINT_URL_STS, ...

_given: ContextVar[dict[str, str] | None] = ContextVar("environment", default=None)


class _Scoped(os._Environ[str]):  # noqa: SLF001 the class of os.environ has no other name
    """`os.environ`: the process's, or what is given in this thread, which nobody writes into the process's."""

    def __getitem__(self, key: str) -> str:
        given = _given.get()
        return super().__getitem__(key) if given is None else given[key]

    def __setitem__(self, key: str, value: str) -> None:
        given = _given.get()
        if given is None:
            super().__setitem__(key, value)
        else:
            given[key] = value

    def __delitem__(self, key: str) -> None:
        given = _given.get()
        if given is None:
            super().__delitem__(key)
        else:
            del given[key]

    def __iter__(self) -> Iterator[str]:
        given = _given.get()
        return super().__iter__() if given is None else iter(tuple(given))

    def __len__(self) -> int:
        given = _given.get()
        return super().__len__() if given is None else len(given)


@contextlib.contextmanager
def within(variables: Mapping[str, str] | None) -> Iterator[None]:
    """Have this thread see these variables before the process's. None: the process's alone.

    If they say who asks (IDENTITY), the thread sees nothing of the process's but what is neutral.
    """
    if variables is None:
        yield
        return
    os.environ.__class__ = _Scoped  # the object itself, as others may have kept it
    token = _given.set(_whole(variables))
    try:
        yield
    finally:
        _given.reset(token)


def _whole(variables: Mapping[str, str]) -> dict[str, str]:
    """A mount's variables, with what it may see of the process's. Proxies and regions go together."""
    proxies = {*PROXIES, *(name.lower() for name in PROXIES)}
    whole = dict(os.environ)
    if variables.keys() & set(IDENTITY):
        neutral = _NEUTRAL | proxies
        whole = {name: value for name, value in whole.items() if name in neutral or name.startswith(_ENDPOINT)}
    for together in (proxies, set(REGIONS)):
        if variables.keys() & together:
            whole = {name: value for name, value in whole.items() if name not in together}
    whole |= variables
    # botocore knows only the older name, other SDKs and people the shorter.
    if region := whole.get("AWS_REGION"):
        whole.setdefault("AWS_DEFAULT_REGION", region)
    return whole
