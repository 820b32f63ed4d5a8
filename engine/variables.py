"""The variables of option `environment`: what a mount's chain of credentials may be told beside the supervisor's own.

Used by engine/spec.py. Pure. They say where keys are and who is asked for them; none holds a secret, because a mount's
options are shown, logged and kept.
"""

import difflib
import re
from typing import Any, Final

# Longest value: a path's (engine/spec.py, PATH_BYTES_MAX); URLs and lists of hosts are shorter.
_VALUE_CHARS_MAX: Final = 4095
_LIKENESS_MIN: Final = 0.7

PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_PROXY_URLS: Final = ("HTTPS_PROXY", "HTTP_PROXY")
_PATHS: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
)
# Who asks. A mount that names one of these has none of the supervisor's own.
IDENTITY: Final = (
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_PROFILE",
    "AWS_EC2_METADATA_DISABLED",
    *_PATHS,
)
REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_OTHERS: Final = (*REGIONS, "AWS_STS_REGIONAL_ENDPOINTS", "AWS_MAX_ATTEMPTS")
ALLOWED: Final = (*IDENTITY, *_OTHERS, *PROXIES, *(name.lower() for name in PROXIES))
# Those that are secrets themselves, as the SDKs call them.
_SECRETS: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    }
)


def as_pairs(value: Any) -> Any:
    """A table of strings, or an array of NAME=VALUE, as sorted NAME=VALUE: equal for equal variables.

    What is neither is left as it is, for the type's own error. Raises ValueError.
    """
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, (list, tuple)) and all(isinstance(each, str) and "=" in each for each in value):
        pairs = [(name, text) for name, _, text in (each.partition("=") for each in value)]
    elif isinstance(value, str) and "=" in value:
        pairs = [(value.partition("=")[0], value.partition("=")[2])]
    else:
        return value
    for name, text in pairs:
        _judge(name, text)
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("names a variable twice")
    return tuple(sorted(f"{name}={text}" for name, text in pairs))


def as_table(pairs: tuple[str, ...]) -> dict[str, str]:
    """The variables by name."""
    return {name: text for name, _, text in (pair.partition("=") for pair in pairs)}


def _judge(name: str, text: Any) -> None:
    if name in _SECRETS:
        raise ValueError(
            f"{name} holds a secret, which no option takes: write the keys into a file of root's, "
            "and its path here as AWS_SHARED_CREDENTIALS_FILE"
        )
    if name not in ALLOWED:
        raise ValueError(f"{_shown(name)} is no variable of a mount's{_did_you_mean(name)}")
    if not isinstance(text, str):
        raise ValueError(f"{name} must be a string")  # noqa: TRY004 as pydantic wants it
    if not text or len(text) > _VALUE_CHARS_MAX or not text.isprintable():
        raise ValueError(f"{name} must be printable text of 1 to {_VALUE_CHARS_MAX} characters")
    if name in _PATHS and not text.startswith("/"):
        raise ValueError(f"{name} must be an absolute path")
    if name.upper() in _PROXY_URLS and "@" in text:
        raise ValueError(
            f"{name} must not have a user and password in it, as no option takes a secret: "
            "set it in the environment of `mountctl run`"
        )
    if name == "AWS_CONTAINER_CREDENTIALS_FULL_URI" and not re.fullmatch(r"https?://[^/?#\s@]+(/[^\s]*)?", text):
        raise ValueError(f"{name} must be http://HOST/PATH or https://HOST/PATH, without a user")
    if name == "AWS_MAX_ATTEMPTS" and not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise ValueError(f"{name} must be a number, at least 1")


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name.upper()[:64], ALLOWED, n=1, cutoff=_LIKENESS_MIN)
    return f": did you mean {close[0]}?" if close else f": it may be one of {', '.join(sorted(ALLOWED[:-3]))}"


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) else "that"
