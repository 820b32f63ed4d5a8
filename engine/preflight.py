"""Whether a mount can be had, asked before anybody sees it; and if not, why, in a sentence for a person.

Called by run.py (not for a mount that programs use already) and by `python -m engine`. Never retries for long: a mount
that can't be had must say so while somebody waits.
"""

import logging
import ssl
from typing import Final

import trio

from engine import errors
from engine.facts import about
from engine.link import Access
from engine.message_ids import CONFIG_IGNORED
from engine.s3 import refusal
from engine.s3.configured import client_for
from engine.s3.interface import ObjectClient
from engine.spec import MountSpec
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# As long as a person or a boot waits without wondering; S3 answers in a fraction of it.
PREFLIGHT_SECONDS_MAX: Final = 5.0

# One stray failure must not refuse a mount; the delays between four attempts are half a second in all.
PREFLIGHT_ATTEMPTS_MAX: Final = 4


class Unmountable(Exception):
    """A mount can't be had. The text is a sentence for a person: what is wrong, where, how to mend it.

    Args:
        reason: the sentence.
        code: S3's error code, empty if none came.
        status: the HTTP status, 0 if no answer came.
        region: where the bucket is, if S3 told that it is elsewhere.
    """

    def __init__(self, reason: str, code: str = "", status: int = 0, region: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.status = status
        self.region = region


async def preflight(
    spec: MountSpec, access: Access, stats: EngineStats, *, trust: ssl.SSLContext | None = None
) -> Access:
    """Ask S3 whether the mount can be had, by a client of its own that gives up soon.

    Returns the access to use: in the region that S3 named, if it named another and nobody had chosen one. Raises
    Unmountable.
    """
    try:
        await _ask(spec, access, stats, trust)
    except Unmountable as refusal:
        if not refusal.region or access.region_told:
            raise
        logger.warning("%s; going on in that region", refusal, extra=about(CONFIG_IGNORED))
        access = in_region(access, refusal.region)
        await _ask(spec, access, stats, trust)
    return access


async def _ask(spec: MountSpec, access: Access, stats: EngineStats, trust: ssl.SSLContext | None) -> None:
    client = client_for(spec, access, stats, trust=trust, attempts_max=PREFLIGHT_ATTEMPTS_MAX)
    try:
        await check(client, spec, access)
    finally:
        with trio.CancelScope(shield=True):
            await client.aclose()


async def check(client: ObjectClient, spec: MountSpec, access: Access) -> None:
    """List the mount's prefix, as everything after this needs. Raises Unmountable."""
    try:
        with trio.fail_after(PREFLIGHT_SECONDS_MAX):
            await client.list_objects(spec.prefix, max_keys=1)
    except trio.TooSlowError as error:
        silence = f"gave no answer within {PREFLIGHT_SECONDS_MAX:.0f} s"
        raise Unmountable(f"S3 at {access.endpoint} {silence}{_check_address(spec)}") from error
    except errors.S3Error as error:
        region = error.region if isinstance(error, errors.WrongRegion) else ""
        raise Unmountable(explain(error, spec, access), error.code, error.status, region) from error


def in_region(access: Access, region: str) -> Access:
    """The access to a bucket that turned out to be in another region; Amazon's host names tell the region too."""
    endpoint = access.endpoint.replace(f".{access.region}.", f".{region}.")
    return access.model_copy(update={"region": region, "endpoint": endpoint})


def explain(error: errors.S3Error, spec: MountSpec, access: Access) -> str:
    """What is wrong, where, and how to mend it."""
    match error:
        case errors.NoSuchBucket() | errors.NoSuchKey():
            return f"bucket {spec.bucket!r} does not exist at {access.endpoint}"
        case errors.AccessDenied():
            return f"access denied to {spec.source}: {_credentials(error, access)}"
        case errors.WrongRegion(region=""):
            return f"bucket {spec.bucket!r} is not in {access.region}: set region to the bucket's"
        case errors.WrongRegion(region=region):
            return f"bucket {spec.bucket!r} is in {region}, not in {access.region}: set region = {region!r}"
        case errors.Unreachable():
            return f"cannot reach {spec.source}: {error.args[0]}{_check_address(spec)}"
        case errors.Throttled():
            return f"cannot list {spec.source}: S3 at {access.endpoint} is too busy: {error.args[0]}"
        case _:
            return f"S3 at {access.endpoint} refuses to list {spec.source}: {error}"


def _credentials(error: errors.S3Error, access: Access) -> str:
    if access.credentials is None:
        return "anonymous requests may not list it (no-sign-request is set)"
    key = access.credentials.access_key
    if trouble := refusal.of_keys(error.code, key):
        return trouble
    return f"the credentials (key {key}) may not ListBucket: allow s3:ListBucket on it"


def _check_address(spec: MountSpec) -> str:
    return "; is endpoint-url right?" if spec.endpoint_url else "; is the network up?"
