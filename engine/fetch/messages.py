"""What an engine and its fetchers say to each other: one message a packet of a SOCK_SEQPACKET pair, as JSON.

Both ends are forks of one process, so there is one version of this and no need to be careful with fields. Bytes of
objects are never in a packet: they are in the arena, which both have mapped.
"""

import json
from typing import Any, Final, NamedTuple

from engine import errors
from engine.logged import Level

# A packet must fit SO_SNDBUF (208 KiB by default on Linux). What a server says may be of any length, and JSON has up to
# twelve bytes for a character: texts are cut, and lists, so that all that a packet can have in it fits.
PACKET_BYTES_MAX: Final = 64 * 1024
TEXT_CHARACTERS_MAX: Final = 500
NAME_CHARACTERS_MAX: Final = 60
HOST_ID_CHARACTERS_MAX: Final = 100  # Amazon's have 76
KINDS_MAX: Final = 8  # of what is counted by kind
LOG_CHARACTERS_MAX: Final = 4000

Failure = list[Any]
"""An S3Error: class, message, status, attempts, code, request id, region, host id. Who asked knows the key."""


class Use(NamedTuple):
    """Engine to fetcher, first of all and whenever keys change: an Access, as JSON. They are numbered from 1."""

    access: str


class Keep(NamedTuple):
    """Engine to fetcher: there are no other keys for now."""


class LogFrom(NamedTuple):
    """Engine to fetcher: the least level to log."""

    level: Level


class Ping(NamedTuple):
    """Engine to fetcher: report, whatever there is to tell."""


class Get(NamedTuple):
    """Engine to fetcher: get the bytes from `offset` on into these places of the arena, each an offset and a length."""

    number: int
    key: str
    etag: str
    offset: int
    places: list[tuple[int, int]]


class Cancel(NamedTuple):
    """Engine to fetcher: the Get of that number is not needed. It is reported as ended all the same."""

    number: int


class Report(NamedTuple):
    """Fetcher to engine.

    `placed`: a Get's number, and how many of its bytes are good now. `ended`: of Gets that write nothing any more their
    number, whether all of their bytes are good, and why not; no reason for those that were cancelled. `counted`: to be
    added to the counters. `said`: what S3's answers mean for the mount, see counts.py.
    """

    placed: list[tuple[int, int]]
    ended: list[tuple[int, bool, Failure | None]]
    counted: dict[str, Any]
    said: list[list[Any]]


class Rejected(NamedTuple):
    """Fetcher to engine: S3 refuses the keys of the Use of that number."""

    use: int


class Log(NamedTuple):
    """Fetcher to engine: a record for the mount's log, with the place in the code that it is from.

    `facts`: see facts.packed.
    """

    logger: str
    level: int
    text: str
    path: str
    line: int
    facts: dict[str, Any]


Message = Use | Keep | LogFrom | Ping | Get | Cancel | Report | Rejected | Log

_KINDS: Final[dict[str, Any]] = {kind.__name__: kind for kind in Message.__args__}
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_ERRORS: Final[dict[str, type[errors.S3Error]]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.S3Error)
}


def encode(message: Message) -> bytes:
    """A message as one packet."""
    return _encode((type(message).__name__, *message)).encode()


def decode(packet: bytes) -> Message:
    """The message in a packet."""
    kind, *fields = json.loads(packet)
    message: Message = _KINDS[kind](*fields)
    return message


def failure_of(error: errors.S3Error) -> Failure:
    """An error to be sent."""
    region = error.region if isinstance(error, errors.WrongRegion) else ""
    names = [name[:NAME_CHARACTERS_MAX] for name in (error.code, error.request_id, region)]
    message, host_id = str(error.args[0])[:TEXT_CHARACTERS_MAX], error.host_id[:HOST_ID_CHARACTERS_MAX]
    return [type(error).__name__, message, error.status, error.attempts, *names, host_id]


def error_of(failure: Failure, key: str) -> errors.S3Error:
    """The error that was sent, of a request for this key."""
    name, message, status, attempts, code, request_id, region, host_id = failure
    kind = _ERRORS[name]
    more = {"region": region} if issubclass(kind, errors.WrongRegion) else {}
    error = kind(message, code=code, status=status, key=key, request_id=request_id, host_id=host_id, **more)
    error.attempts = attempts
    return error
