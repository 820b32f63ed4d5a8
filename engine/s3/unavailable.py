"""Why there are no credentials, in a sentence for a person that holds no secret. Pure.

Used by access.py. Programs and servers that hand out keys print them, and quote what they were sent when they refuse
it: so nothing of what a program printed is told, and of a server's answer its code, with its words only where AWS's own
hold no secret. Of errors that are not foreseen only the class: their text may hold anything.
"""

import re
import signal
import subprocess
from typing import Any, Final
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.credentials import ProcessProvider

from engine.s3.location import LocationError

# Of what a server says, enough to recognise the trouble.
_REASON_CHARACTERS_MAX: Final = 300
_NOT_DEFINED: Final = "the answer of credential_process (or of the server asked) is not as AWS defines it"
_HIDDEN: Final = "(hidden)"

# Errors whose text botocore makes of names, addresses and fixed words alone.
_HARMLESS: Final = (
    exceptions.InvalidConfigError,
    exceptions.InvalidIMDSEndpointError,
    exceptions.InvalidIMDSEndpointModeError,
    exceptions.InvalidRegionError,
    exceptions.InvalidRetryConfigurationError,
    exceptions.InvalidRetryModeError,
    exceptions.LoginError,
    exceptions.NoRegionError,
    exceptions.SSLError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
    exceptions.ProxyConnectionError,
)
# Codes with which AWS says who may not do what, or which provider it does not know. Other words are kept back:
# SignatureDoesNotMatch quotes the request with its session token, ValidationError the web identity.
_TOLD_IN_WORDS: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "ForbiddenException", "InvalidIdentityToken", "UnauthorizedException"}
)
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{0,63}")
# Tokens are longer, names of people and roles mostly not; ARNs and URLs are left out before.
_TOKEN: Final = re.compile(r"[\w+/=.~:-]*[0-9][\w+/=.~:-]*")
_TOKEN_CHARACTERS_MIN: Final = 20
_STATUS: Final = re.compile(r"non 200 response (\d+)")


class ProcessFailed(Exception):
    """A credential_process did not do its work. What it printed may hold a secret, and is in no error."""

    def __init__(self, program: str, exit_code: int) -> None:
        how = f"ended with exit code {exit_code}" if exit_code >= 0 else f"was killed by {_signal(-exit_code)}"
        super().__init__(f"{program} {how}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reason(error: Exception, asked: str) -> str:
    """What went wrong. `asked`: who was to have the keys, as a sentence begins with it."""
    return str(error) if isinstance(error, LocationError) else f"{asked}: {_reason(error)}"


def _reason(error: Exception) -> str:
    match error:
        case exceptions.PartialCredentialsError():
            return f"incomplete keys: {error.kwargs['cred_var']} is missing"
        case ProcessFailed():
            return f"credential_process failed: {error}; what it says is not shown, it may be secret: run it by hand"
        case subprocess.TimeoutExpired():
            return f"credential_process did not end within {error.timeout:.0f} s and was killed"
        case exceptions.CredentialRetrievalError() | exceptions.MetadataRetrievalError():
            return _not_retrieved(error)
        case exceptions.ClientError():
            return f"{error.operation_name}: {_refused(error.response.get('Error', {}))}"
        case _ if isinstance(error, _HARMLESS):
            return _short(str(error))
        case exceptions.BotoCoreError():
            return _unreached(error)
        case OSError() if error.filename:
            return f"{error.filename}: {error.strerror}"
        case RuntimeError():  # botocore's word for keys that had expired when they came
            return "the keys that came had expired already"
        case ValueError() | TypeError() | KeyError() | AttributeError():
            return f"{_NOT_DEFINED} ({type(error).__name__})"
        case _:
            return f"unexpected {type(error).__name__}"


def _not_retrieved(error: exceptions.BotoCoreError) -> str:
    provider = error.kwargs.get("provider", "container-role")
    if provider == ProcessProvider.METHOD:
        return f"{_NOT_DEFINED} (Version 1, AccessKeyId, SecretAccessKey)"
    if provider != "container-role":
        return f"{provider} failed: {_NOT_DEFINED}"
    if status := _STATUS.search(str(error)):
        return f"the container's agent answered with status {status[1]}"
    return "the container's agent can't be reached, or its answer is not as AWS defines it"


def _refused(told: Any) -> str:
    code = str(told.get("Code", ""))
    if not _CODE.fullmatch(code):
        return "an error without a code"
    return f"{code}: {_short(str(told.get('Message')))}" if code in _TOLD_IN_WORDS and told.get("Message") else code


def _unreached(error: exceptions.BotoCoreError) -> str:
    """An address that does not answer, or an error of the HTTP client's, which quotes headers that it refuses."""
    name = type(error).__name__
    if url := error.kwargs.get("endpoint_url"):
        return f"{_address(str(url))} can't be reached ({name})"
    cause = error.kwargs.get("error")
    return f"{name} ({type(cause).__name__})" if isinstance(cause, Exception) else name


def _short(text: str) -> str:
    """In one line, and without what looks like a token."""
    line = " ".join(_without_token(word) for word in text.split())
    return line if len(line) <= _REASON_CHARACTERS_MAX else line[: _REASON_CHARACTERS_MAX - 3] + "..."


def _without_token(word: str) -> str:
    if word.lstrip("\"'(").startswith("arn:"):
        return word
    if "://" in word:
        return _address(word)
    return _TOKEN.sub(lambda found: _HIDDEN if len(found[0]) >= _TOKEN_CHARACTERS_MIN else found[0], word)


def _address(url: str) -> str:
    """A URL without the parts that may hold a secret: who asks, and what."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _HIDDEN
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
