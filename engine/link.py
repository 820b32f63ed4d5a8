"""Messages between supervisor, zygote, broker and engines, and the sockets that carry them.

Every message is one SOCK_SEQPACKET packet of JSON; file descriptors go along by SCM_RIGHTS. The supervisor relays
credentials from broker to engines, so that a process has one link. Secrets are SecretStr: a message can be logged.

An engine may be older or younger than the supervisor that adopts it. So fields are only ever added, with a default, and
what one side does not know, a field or a whole message, it passes by.
"""

import array
import json
import logging
import os
import socket
from typing import Annotated, Any, Final, Literal

import trio
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr, TypeAdapter, ValidationError

from engine.counted import Stats
from engine.logged import Form, Level, LogFile, LogForm, Logged, LogLevel
from engine.restores import RestoreMessage
from engine.spec import MountSpec
from engine.uploads import UploadMessage

# A packet must fit SO_SNDBUF (208 KiB by default on Linux); the largest message, a spec, is far below.
PACKET_BYTES_MAX: Final = 64 * 1024
FDS_MAX: Final = 8

_log = logging.getLogger(__name__)

Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), return_type=str)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class Credentials(_Message):
    """Keys for signing. `expires` is in seconds since the epoch, None if they do not."""

    access_key: str
    secret_key: Secret
    token: Secret | None = None
    expires: float | None = None
    source: str = Field("", description="which link of the chain gave them: profile, role, instance, ...")


class Access(_Message):
    """How to talk to a mount's bucket. Broker to engine, at start and whenever keys change."""

    type: Literal["access"] = "access"
    name: str = Field(description="the mount")
    endpoint: str = Field(description="URL before the key: http://HOST:PORT/BUCKET or https://BUCKET.s3.REGION...")
    region: str = Field(description="region to sign for")
    signing_name: str = "s3"
    attempts_max: int | None = Field(None, description="of a request, as the environment or the profile has it")
    proxy: Secret | None = Field(None, description="URL of the proxy to reach it by, with a password if it wants one")
    region_told: bool = Field(default=False, description="somebody chose the region: S3 naming another is an error")
    credentials: Credentials | None = Field(None, description="None: anonymous")
    renewal_error: str | None = Field(None, description="why there are no newer ones; these are good until they expire")


class AccessFailed(_Message):
    """Broker to engine: no credentials (or endpoint) could be had; it goes on trying."""

    type: Literal["access-failed"] = "access-failed"
    name: str
    reason: str


class RefreshAccess(_Message):
    """Engine to broker: S3 refused these keys as expired or unknown; fetch new ones now."""

    type: Literal["refresh-access"] = "refresh-access"
    name: str


class WatchAccess(_Message):
    """Supervisor to broker: send Access for this mount now and whenever it changes."""

    type: Literal["watch-access"] = "watch-access"
    spec: MountSpec


class ForgetAccess(_Message):
    """Supervisor to broker: the mount is gone."""

    type: Literal["forget-access"] = "forget-access"
    name: str


class ForkEngine(_Message):
    """Supervisor to zygote. File descriptors: the session (/dev/fuse), the engine's end of its link, the journal."""

    type: Literal["fork-engine"] = "fork-engine"
    spec: MountSpec
    uid: int
    gid: int
    init_request: str = Field(description="the kernel's FUSE_INIT request, hex")
    generation: int = Field(description="0 for a session's first engine; inode and handle numbers are unique by it")
    attached: bool = Field(description="programs use the mount already: serve at once, even if S3 does not answer")
    region: str = Field("", description="where an engine before found the bucket, if not where its access says")
    resend: bool = Field(description="ask the kernel for the requests that the engine before left unanswered")
    waits: bool = Field(default=False, description="another engine serves the session: get ready, wait for TakeOver")
    bequeathed: bool = Field(default=False, description="serve when TakeOver has brought what one before has left")
    log_form: Form | None = Field(None, description="of what goes to stderr; None: the journal's, if it is that")
    log_level: Level | None = Field(None, description="None: what the spec says")


class ForkBroker(_Message):
    """Supervisor to zygote. File descriptor: the broker's end of its link."""

    type: Literal["fork-broker"] = "fork-broker"
    environment: dict[str, Secret] = Field(
        default_factory=dict, description="what no engine may see of the supervisor's environment: AWS_*"
    )
    log_form: Form | None = Field(None, description="as an engine's")


class ZygoteReady(_Message):
    """Zygote to supervisor, once, when all is imported: it can fork."""

    type: Literal["zygote-ready"] = "zygote-ready"
    version: str = Field(description="of the engine's code")


class Forked(_Message):
    """Zygote to supervisor. File descriptor: a pidfd of the new process."""

    type: Literal["forked"] = "forked"
    pid: int


class ForkFailed(_Message):
    """Zygote to supervisor."""

    type: Literal["fork-failed"] = "fork-failed"
    reason: str


class Ready(_Message):
    """Engine to supervisor: S3 answered, the session is adopted; attach it."""

    type: Literal["ready"] = "ready"
    region: str = Field("", description="where S3 said that the bucket is, if not where its access says")
    served_before: tuple[str, ...] = Field((), description="what the engine before was serving when it died")
    version: str = Field("", description="of the engine's code")


class Prepared(_Message):
    """Engine that `waits` to supervisor: S3 answered; all that lacks is the session."""

    type: Literal["prepared"] = "prepared"


class HandOver(_Message):
    """Supervisor to engine: read no more, answer what you have read, leave the rest to a successor, exit 0."""

    type: Literal["hand-over"] = "hand-over"
    grace_seconds: float | None = Field(
        description="leave unanswered what takes longer, as the kernel will resend it; None: it will not"
    )


class HandedOver(_Message):
    """Engine to supervisor, then it exits. File descriptors, if files are being written: those of fs/moving.py."""

    type: Literal["handed-over"] = "handed-over"


class TakeOver(_Message):
    """Supervisor to an engine that `waits` or is `bequeathed`: the session is yours. File descriptors: HandedOver's."""

    type: Literal["take-over"] = "take-over"
    resend: bool = Field(description="ask the kernel for what the engine before left unanswered")


class Unavailable(_Message):
    """Engine to supervisor, then it exits: the mount can't be served now. Only before Ready."""

    type: Literal["unavailable"] = "unavailable"
    reason: str = Field(description="what is wrong, where, and how to mend it, in one sentence")
    code: str = Field("", description="S3's error code")
    status: int = Field(0, description="HTTP status, 0 if none")


class Backend(_Message):
    """What the engine knows of S3. `reachable` is None until a first answer or failure."""

    reachable: bool | None = None
    error: str | None = Field(None, description="why it is not reachable")
    refused: str | None = Field(None, description="it answers, and lets this mount do nothing: why, and how to mend it")

    @property
    def trouble(self) -> str | None:
        """Why the mount is of no use now, whoever's fault it is; None: no reason is known."""
        return self.error if self.reachable is False else self.refused


class Heartbeat(_Message):
    """Engine to supervisor, every HEARTBEAT_SECONDS and when `backend` changes."""

    type: Literal["heartbeat"] = "heartbeat"
    stats: Stats
    backend: Backend
    last_error: str | None = Field(None, description="the last error that a program saw as EIO or EACCES")
    serving: bool = Field(default=False, description="Ready was said: for a supervisor that did not hear it")


class Stop(_Message):
    """Supervisor to engine: answer what you have read, complete what was closed, stop, exit 0."""

    type: Literal["stop"] = "stop"
    seconds: float = Field(4.0, description="then give up what is not uploaded yet; ends before its sender kills")


class Beat(_Message):
    """Supervisor to engine: a heartbeat now, out of turn."""

    type: Literal["beat"] = "beat"


# A second tells a person soon enough, and costs an idle engine about 0.1 % of a core.
HEARTBEAT_SECONDS: Final = 1.0

Message = Annotated[
    Access
    | AccessFailed
    | RefreshAccess
    | WatchAccess
    | ForgetAccess
    | ForkEngine
    | ForkBroker
    | ZygoteReady
    | Forked
    | ForkFailed
    | Ready
    | Prepared
    | HandOver
    | HandedOver
    | TakeOver
    | Unavailable
    | Heartbeat
    | Stop
    | LogFile
    | LogForm
    | LogLevel
    | Beat
    | Logged
    | UploadMessage
    | RestoreMessage,
    Field(discriminator="type"),
]
_ADAPTER: Final[TypeAdapter[Any]] = TypeAdapter(Message)
_UNKNOWN_TYPE: Final = "union_tag_invalid"  # pydantic's word for a discriminator that no member has


class LinkClosed(Exception):
    """The other side is gone, or talks nonsense, which is no better. Not raised for our own close."""


def encode(message: Message) -> bytes:
    """A message as one packet."""
    return message.model_dump_json(by_alias=True).encode()


def decode(packet: bytes) -> Message:
    """The message in a packet. Raises pydantic.ValidationError on anything else."""
    message: Message = _ADAPTER.validate_json(packet)
    return message


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a link."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send one message on a blocking socket. Raises LinkClosed if nobody is there to read it."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([encode(message)], rights)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise LinkClosed from error


def receive(sock: socket.socket, fds_max: int = FDS_MAX) -> tuple[Message, list[int]]:
    """Receive a message and its descriptors, `fds_max` at most, on a blocking socket. Raises LinkClosed at the end."""
    while True:
        if (received := _receive(sock, fds_max)) is not None:
            return received


def _receive(sock: socket.socket, fds_max: int) -> tuple[Message, list[int]] | None:
    """One message; None if it is of a type that this version does not know."""
    try:
        packet, fds, _, _ = socket.recv_fds(sock, PACKET_BYTES_MAX, fds_max, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError as error:
        raise LinkClosed from error
    if not packet:
        raise LinkClosed
    try:
        return decode(packet), list(fds)
    except ValidationError as error:
        for fd in fds:
            os.close(fd)
        if [each["type"] for each in error.errors(include_input=False)] != [_UNKNOWN_TYPE]:
            raise LinkClosed("it sent something that is no message") from error
    _log.debug("passed by a message of a type that this version does not know: %.40r", json.loads(packet)["type"])
    return None


class Link:
    """A link under trio. Takes ownership of the socket. One task may receive and one send at a time.

    Args:
        sock: one end.
        fds_max: how many file descriptors a message may bring; none, unless told: who is not to send any can't fill us.
    """

    def __init__(self, sock: socket.socket, *, fds_max: int = 0) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fds_max = fds_max

    def accept(self, fds_max: int) -> None:
        """Let messages bring so many file descriptors from now on."""
        self._fds_max = fds_max

    async def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send one message. Waits while the other side is slow to read; raises LinkClosed if it is gone."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self.send_nowait(message, fds):
            await trio.lowlevel.wait_writable(self._sock)

    def send_nowait(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        """Send one message if the other side has room; False if not. Raises LinkClosed if it is gone."""
        try:
            send(self._sock, message, fds)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkClosed from error
        return True

    async def receive(self) -> tuple[Message, list[int]]:
        """The next message and its file descriptors. Raises LinkClosed when the other side is gone."""
        while True:
            # A whole checkpoint: another side that never stops talking must not keep all other tasks from running.
            await trio.lowlevel.checkpoint()
            try:
                if (received := _receive(self._sock, self._fds_max)) is not None:
                    return received
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
            except OSError as error:
                raise LinkClosed from error

    def fileno(self) -> int:
        """Our end's file descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close our end; the other side's receive ends."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
