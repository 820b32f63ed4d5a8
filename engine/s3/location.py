"""Where a mount's bucket is: the URL in front of its keys, and the region and service name to sign for.

Called by access.py, in a thread: it reads AWS configuration files. Follows the rules that botocore ships (aliases of
access points, partitions, directory buckets, custom endpoints); never asks S3 or any other server.
"""

import functools
import os
from dataclasses import dataclass, field, replace
from typing import Any, Final

from botocore.configprovider import ConfiguredEndpointProvider
from botocore.endpoint_provider import EndpointProvider, RuleSetEndpoint
from botocore.exceptions import EndpointProviderError
from botocore.loaders import create_loader
from botocore.session import Session

from engine.s3 import proxy
from engine.spec import MountSpec

# What S3 itself assumes of a request without a region.
DEFAULT_REGION: Final = "us-east-1"
_SIGNABLE: Final = "sigv4"


class LocationError(Exception):
    """There is no endpoint for this bucket and region. The text is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket's place. `endpoint` has the bucket in it and no slash at its end.

    `region_told`: somebody chose the region, so it is not to be changed for what S3 says. `attempts_max`: how often a
    request is sent at most, if somebody said so. `proxy`: the URL of the one that it is reached by, with a password.
    """

    endpoint: str
    region: str
    signing_name: str = "s3"
    region_told: bool = False
    attempts_max: int | None = None
    proxy: str | None = field(default=None, repr=False)


def locate(spec: MountSpec, session: Session) -> Location:
    """The place of a mount's bucket, by its options, the environment and the session's profile.

    Raises LocationError, and what botocore raises for an unknown profile or a broken configuration file.
    """
    found = place(
        spec, region=find_region(spec, session), endpoint=find_endpoint(spec, session), variants=_variants(session)
    )
    try:
        by = proxy.choose(found.endpoint, os.environ)
    except proxy.ProxyUnusable as error:
        raise LocationError(str(error)) from None
    return replace(found, region_told=is_region_told(spec), attempts_max=_attempts_max(session), proxy=by)


def is_region_told(spec: MountSpec) -> bool:
    """Whether the option or AWS_REGION names the region; a profile's or the default is a guess about this bucket."""
    return bool(spec.region or os.environ.get("AWS_REGION"))


def _attempts_max(session: Session) -> int | None:
    """AWS_MAX_ATTEMPTS, else the profile's `max_attempts`."""
    try:
        found: int | None = session.get_config_variable("max_attempts")
    except ValueError:
        found = 0
    if found is not None and found < 1:
        raise LocationError("AWS_MAX_ATTEMPTS (or the profile's max_attempts) must be a number, at least 1")
    return found


def find_region(spec: MountSpec, session: Session) -> str:
    """The option, else AWS_REGION, else what botocore finds (AWS_DEFAULT_REGION, the profile's), else us-east-1."""
    region = spec.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    return str(region or DEFAULT_REGION)


def find_endpoint(spec: MountSpec, session: Session) -> str | None:
    """The option, else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile's `endpoint_url`; None: Amazon's."""
    if spec.endpoint_url is not None:
        return spec.endpoint_url
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    configured = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
    ).provide()
    return configured.rstrip("/") if configured else None


def place(spec: MountSpec, *, region: str, endpoint: str | None, variants: dict[str, bool] | None = None) -> Location:
    """Apply S3's endpoint rules. `variants` are UseFIPS and UseDualStack, for Amazon's endpoints only.

    The options dual-stack and transfer-acceleration were asked for by name: the rules say if they can't be had.

    Raises LocationError.
    """
    # A directory bucket's session tokens would be one more thing to renew; plain SigV4 is allowed there too.
    parameters: dict[str, Any] = {
        "Bucket": spec.bucket,
        "Region": region,
        "ForcePathStyle": spec.force_path_style,
        "DisableS3ExpressSessionAuth": True,
    }
    parameters.update({"Endpoint": endpoint} if endpoint else variants or {})
    parameters.update({"UseDualStack": True} if spec.dual_stack else {})
    parameters.update({"Accelerate": True} if spec.transfer_acceleration else {})
    try:
        answer = _rules().resolve_endpoint(**parameters)
    except EndpointProviderError as error:
        where = endpoint or f"region {region!r}"
        raise LocationError(f"no S3 endpoint for bucket {spec.bucket!r} and {where}: {_reason(error)}") from error
    return _location(answer, spec, region)


def _location(answer: RuleSetEndpoint, spec: MountSpec, region: str) -> Location:
    schemes: list[dict[str, Any]] = answer.properties.get("authSchemes", [])
    scheme = next((each for each in schemes if each["name"] == _SIGNABLE), None)
    if schemes and scheme is None:
        raise LocationError(f"bucket {spec.bucket!r} needs {schemes[0]['name']} signatures, which are not supported")
    scheme = scheme or {}
    return Location(
        endpoint=answer.url.rstrip("/"),
        region=scheme.get("signingRegion", region),
        signing_name=scheme.get("signingName", "s3"),
    )


def _variants(session: Session) -> dict[str, bool]:
    return {
        "UseFIPS": bool(session.get_config_variable("use_fips_endpoint")),
        "UseDualStack": bool(session.get_config_variable("use_dualstack_endpoint")),
    }


def _reason(error: EndpointProviderError) -> str:
    message: str = error.kwargs.get("msg", str(error))
    return message.splitlines()[0]


@functools.cache
def _rules() -> EndpointProvider:
    """Parsed once in a process: 500 KB of rules."""
    loader = create_loader()
    return EndpointProvider(
        ruleset_data=loader.load_service_model("s3", "endpoint-rule-set-1"),
        partition_data=loader.load_data("partitions"),
    )
