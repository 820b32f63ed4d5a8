"""The way to S3: names, proxies, clocks, the instance's metadata service. Rules; pure."""

from collections.abc import Iterator
from typing import Final

from engine.answers import Reach
from mountctl.doctor.findings import Finding, check

# S3 refuses a request whose date is 15 minutes off (RequestTimeTooSkewed); drift of a minute means no time service.
_SKEW_SECONDS_MAX: Final = 900
_SKEW_SECONDS_UNWISE: Final = 60

ENDPOINT: Final = check(
    "endpoint", "error", "without a usable address of S3 there is no mount", "mend the option or variable that is named"
)
NAME: Final = check(
    "dns",
    "error",
    "S3 is found by its name",
    "mend DNS (/etc/resolv.conf, systemd-resolved), region or endpoint-url; a bucket with dots or of another S3 may "
    "need force-path-style",
)
CONNECTION: Final = check(
    "connection",
    "error",
    "S3 must be reached from this host",
    "look at routes, firewalls and security groups; where a proxy is needed, set HTTPS_PROXY for `mountctl run`",
)
PROXY: Final = check(
    "proxy",
    "info",
    "HTTPS_PROXY, HTTP_PROXY and NO_PROXY of `mountctl run`, or of the mount, count",
    "nothing is to be done",
)
CLOCK: Final = check(
    "clock",
    "error",
    "S3 refuses requests whose date is 15 minutes off",
    "set the clock: `timedatectl set-ntp true`, chrony or systemd-timesyncd",
)
CLOCK_DRIFTS: Final = check(
    "clock-drifts",
    "warning",
    "beyond 15 minutes S3 refuses all requests",
    "set the clock: `timedatectl set-ntp true`, chrony or systemd-timesyncd",
)
METADATA: Final = check(
    "imds",
    "error",
    "the keys are to come from the instance's role, by its metadata service",
    "give the instance a role and its metadata service; else name a profile, or other keys (credentials.md)",
)
HOPS: Final = check(
    "imds-hop-limit",
    "error",
    "a token of the metadata service may travel only so many hops; in a container it needs one more",
    "aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2",
)


def judge(found: Reach) -> Iterator[Finding]:
    """Everything about one mount's way to S3."""
    name = found.name
    if found.trouble:
        yield ENDPOINT.found(found.trouble, name)
        return
    if found.proxy:
        yield PROXY.found(f"{found.endpoint} is reached by the proxy {found.proxy} ({found.proxy_from})", name)
    else:
        yield PROXY.ok(f"{found.endpoint} is reached directly", name)
    asked = found.proxy or found.host
    if found.name_trouble:
        yield NAME.found(f"{asked} has no address: {found.name_trouble}", name)
    elif found.addresses:
        yield NAME.ok(f"{asked} has the address {found.addresses[0]}", name)
    if found.date_trouble:
        by = f" by the proxy {found.proxy}" if found.proxy else ""
        yield CONNECTION.found(f"{found.host} gives no answer{by}: {found.date_trouble}", name)
    yield from _clock(found)
    yield from _metadata(found)


def _clock(found: Reach) -> Iterator[Finding]:
    ahead = found.ahead_seconds
    if ahead is None:
        return
    told = f"this clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {found.host}"
    if abs(ahead) >= _SKEW_SECONDS_MAX:
        yield CLOCK.found(told, found.name)
    elif abs(ahead) >= _SKEW_SECONDS_UNWISE:
        yield CLOCK_DRIFTS.found(told, found.name)
    else:
        yield CLOCK.ok(f"this clock agrees with that of {found.host}", found.name)


def _metadata(found: Reach) -> Iterator[Finding]:
    if found.metadata == "silent":
        yield HOPS.found("the metadata service answers, but its tokens do not arrive", found.name)
    elif found.metadata == "absent":
        yield METADATA.found("there are no other keys, and the metadata service does not answer", found.name)
    elif found.metadata == "ok" and not found.credentials_source:
        yield METADATA.found(f"the metadata service answers and gives no keys: {found.credentials_trouble}", found.name)
    elif found.metadata == "ok":
        yield METADATA.ok("keys come from the instance's role", found.name)
