"""The S3 client that a mount's options ask for: what of a MountSpec concerns the way to S3, in one place.

Called by run.py, preflight.py and __main__.py. Authorities are read by whoever still is root, before an engine drops
its privileges, because the file may be private. Opens no connection.
"""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.link import Access
from engine.s3 import retry, tls
from engine.s3.client import HttpClient
from engine.s3.pool import connections_for
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats

# All of a Linux distribution's authorities are a quarter of that; what is larger is another file.
_AUTHORITIES_BYTES_MAX: Final = MiB
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_VARIABLE: Final = "AWS_CA_BUNDLE"

# What tells that a file or directory is the one that was read.
_Signature = tuple[tuple[int, ...] | None, ...]


class CaBundleUnusable(Exception):
    """The file of ca-bundle, or of AWS_CA_BUNDLE, can't be used. The text is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """What `ca-bundle` names: whom to believe, or why that can't be had. Neither: the system's authorities."""

    context: ssl.SSLContext | None = None
    trouble: str | None = None

    def trust(self) -> ssl.SSLContext | None:
        """For HttpClient. Raises CaBundleUnusable."""
        if self.trouble is not None:
            raise CaBundleUnusable(self.trouble)
        return self.context


_preloaded: tuple[str, _Signature, Authorities] | None = None


def preload() -> None:
    """Read what a mount without `ca-bundle` believes, for processes that are forked from this one. Blocks.

    To read a distribution's authorities takes 20 ms of CPU and a MiB, which each engine would have of its own.
    """
    global _preloaded  # noqa: PLW0603 - the process's own, as what is forked from it has it
    path = os.environ.get(_VARIABLE, "")
    signature = _signature(path)
    read = _read(_VARIABLE, path) if path else Authorities(context=tls.trust(None))
    if read.trouble is None:
        _preloaded = path, signature, read


def _signature(path: str) -> _Signature:
    default = ssl.get_default_verify_paths()
    return tuple(_stat(each) for each in ([path] if path else [default.cafile, default.capath]))


def _stat(path: str | None) -> tuple[int, ...] | None:
    try:
        found = None if path is None else os.stat(path)
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read_authorities(spec: MountSpec) -> Authorities:
    """Read the file that the option names, else AWS_CA_BUNDLE's. Blocks; raises nothing: trouble is told by `trust`."""
    if spec.ca_bundle:
        return _read("ca-bundle", spec.ca_bundle)
    path = os.environ.get(_VARIABLE, "")
    if _preloaded is not None and _preloaded[:2] == (path, _signature(path)):
        return _preloaded[2]
    return _read(_VARIABLE, path) if path else Authorities()


def _read(option: str, path: str) -> Authorities:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_AUTHORITIES_BYTES_MAX + 1)
        if len(raw) > _AUTHORITIES_BYTES_MAX:
            return Authorities(trouble=f"{option}: {path} is larger than {_AUTHORITIES_BYTES_MAX // MiB} MiB")
        # Comments between the certificates may be in any language; Python's ssl wants ASCII.
        pem = raw.decode("ascii", "replace").replace("\ufffd", "?")
        if _BEGIN not in pem:  # nothing to trust would mean the system's authorities to Python
            return Authorities(trouble=f"{option}: {path} has no certificate in it (PEM is needed)")
        return Authorities(context=tls.trust_in(pem))  # once: an engine that takes over has programs waiting
    except ssl.SSLError as error:
        return Authorities(trouble=f"{option}: {path} is not a PEM file of certificates: {error.reason or error}")
    except OSError as error:
        return Authorities(trouble=f"{option}: cannot read {path}: {error.strerror or error}")


def client_for(
    spec: MountSpec,
    access: Access,
    stats: EngineStats,
    *,
    trust: ssl.SSLContext | None = None,
    rejected: Callable[[], None] | None = None,
    attempts_max: int | None = None,
    connections_max: int | None = None,
) -> HttpClient:
    """A client as the mount's options want it.

    Args:
        spec: the mount.
        access: HttpClient's.
        stats: HttpClient's.
        trust: HttpClient's.
        rejected: HttpClient's.
        attempts_max: not more, whatever the access allows; None: as many as it does.
        connections_max: HttpClient's; None: all that the mount may have.
    """
    allowed = access.attempts_max or retry.ATTEMPTS_MAX
    return HttpClient(
        access,
        stats=stats,
        requester_pays=spec.requester_pays,
        expected_bucket_owner=spec.expected_bucket_owner,
        user_agent_prefix=spec.user_agent_prefix,
        rejected=rejected,
        attempts_max=allowed if attempts_max is None else min(allowed, attempts_max),
        connections_max=connections_max or connections_for(spec.maximum_throughput_gbps),
        trust=trust,
        interfaces=spec.bind,
    )
