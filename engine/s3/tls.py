"""TLS over a PlainWire: OpenSSL reads from memory that is filled by large receives, then decrypts into place; and it
encrypts from the caller's memory into some that is sent by large sends.

An SSLSocket makes two system calls for each record of 16 KiB; this makes one for 256 KiB. Used by pool.py for https
endpoints. Trust is the system's, or the file that AWS_CA_BUNDLE names.
"""

import functools
import os
import ssl
from collections.abc import Callable, Sequence
from typing import Final, cast

import trio

from engine.s3.wire import PlainWire
from engine.spec import KiB

# A record holds at most 16 KiB and 0.3 KiB around it. OpenSSL may hold most of one that is not complete, so that much
# of what is "to come" may have been received: a low-water mark that counted on it would wait for ever.
RECORD_BYTES_MAX: Final = 20 * KiB

# Encrypted at once and then sent by one system call: a quarter of a millisecond, then other tasks may run.
ENCRYPT_BYTES: Final = 256 * KiB

# Received at once and then decrypted, while it is in the CPU's cache. Filled and emptied between two awaits, so one for
# all connections will do.
_RECEIVED: Final = memoryview(bytearray(256 * KiB))


@functools.cache
def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """How servers are believed: the system's authorities, or those in the file. Raises OSError if it can't be read."""
    return _strict(ssl.create_default_context(cafile=ca_bundle))


def trust_in(authorities: str) -> ssl.SSLContext:
    """`trust` in these authorities only, as PEM text. Raises ssl.SSLError (an OSError) if there are none in it."""
    return _strict(ssl.create_default_context(cadata=authorities))


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def trust_of_environment() -> ssl.SSLContext:
    """`trust` as AWS_CA_BUNDLE asks."""
    return trust(os.environ.get("AWS_CA_BUNDLE") or None)


class Sessions:
    """What a server gave a connection so that the next handshake is short: no certificate is sent or checked again.

    One for each endpoint, whose connections all believe in the same authorities: a session holds what was checked.
    """

    def __init__(self) -> None:
        self._last: ssl.SSLSession | None = None
        self._context: ssl.SSLContext | None = None

    def of(self, context: ssl.SSLContext) -> ssl.SSLSession | None:
        """The session to go on with, if it was agreed on with this trust."""
        return self._last if self._context is context else None

    def keep(self, stream: ssl.SSLObject) -> None:
        """Go on with this connection's session from now on. To be called after a whole handshake and a first answer.

        Not after each: the copy that Python makes of a session takes 140 us (measured), as long as it saves.
        """
        if (session := stream.session) is not None:
            self._last, self._context = session, stream.context

    def forget(self) -> None:
        """A handshake failed: the next one shall be a whole one."""
        self._last = self._context = None


async def handshake(
    plain: PlainWire, host: str, context: ssl.SSLContext, sessions: Sessions | None = None
) -> "TlsWire":
    """Make a connection a TLS one. Raises ssl.SSLError, ssl.CertificateError, OSError; closes `plain` if it fails."""
    wire = TlsWire(plain, host, context, sessions)
    try:
        await wire.handshake()
    except BaseException as error:
        plain.close()
        if sessions is not None and isinstance(error, OSError):
            sessions.forget()
        raise
    return wire


class TlsWire:
    """A TLS stream over a plain one, which it owns. Its session comes from `sessions`, and goes there."""

    def __init__(self, plain: PlainWire, host: str, context: ssl.SSLContext, sessions: Sessions | None = None) -> None:
        self._plain = plain
        self._sessions = sessions
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._encrypted = memoryview(b"")  # taken out of `_outgoing`, and still to be sent
        session = sessions.of(context) if sessions is not None else None
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)

    async def handshake(self) -> None:
        """Agree on keys and check the certificate."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed(1)
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self._tls.write(data)
        await self._flush()

    @property
    def unsent(self) -> bool:
        """Has something been encrypted that is not yet sent?"""
        return bool(self._encrypted) or bool(self._outgoing.pending)

    def push(self, buffers: Sequence[memoryview]) -> int:
        """Encrypt ENCRYPT_BYTES at most, once all before is sent, and send what the kernel takes of it."""
        if not self._send_encrypted():
            return 0
        taken = 0
        for buffer in buffers:
            piece = buffer[: ENCRYPT_BYTES - taken]
            if not piece:
                break
            taken += self._tls.write(piece)
        self._send_encrypted()
        return taken

    async def writable(self) -> None:
        """Wait until the kernel takes more."""
        await self._plain.writable()

    async def hear(self, view: memoryview) -> int:
        """Place at least one byte at the front of `view`. An answer to a key update goes with the next push."""
        while True:
            placed, ended = self._decrypt(view)
            if placed or ended:
                return placed
            await self._feed(1)

    async def receive_into(self, view: memoryview, to_come: int) -> int:
        """Place at least one byte at the front of `view`; 0 at the stream's end."""
        while True:
            placed, ended = self._decrypt(view)
            if placed or ended:
                return placed
            await self._flush()  # an answer to a key update
            await self._feed(to_come)

    def receive_now(self, view: memoryview) -> int:
        """Place what is here already, maybe nothing."""
        received = self._plain.receive_now(_RECEIVED)
        self._incoming.write(_RECEIVED[:received])
        return self._decrypt(view)[0]

    def alert(self) -> None:
        """Wake up for every byte, until this answer is complete."""
        self._plain.alert()

    def rest(self) -> None:
        """Wake up for the first byte again."""
        if self._sessions is not None:  # tickets come behind the handshake, with the first answer
            if not self.resumed:
                self._sessions.keep(self._tls)
            self._sessions = None
        self._plain.rest()

    @property
    def resumed(self) -> bool:
        """Did the handshake go on with a session of before?"""
        return bool(self._tls.session_reused)

    def alive(self) -> bool:
        """The server has not closed. Session tickets may have come unasked: they are no harm."""
        return not self._plain.at_end() and not self._tls.pending()

    def close(self) -> None:
        """Close the socket, without a farewell: bodies have lengths, so a cut one is noticed anyway."""
        self._plain.close()

    def _decrypt(self, view: memoryview) -> tuple[int, bool]:
        """Decrypt whole records into `view`: how many bytes, and whether the stream has ended."""
        placed, size = 0, len(view)
        read = cast("Callable[[int, memoryview], int]", self._tls.read)  # with a buffer it returns a count
        try:
            while placed < size:
                count = read(size - placed, view[placed:])
                if not count:
                    return placed, True
                placed += count
        except ssl.SSLWantReadError:
            return placed, False
        except ssl.SSLEOFError:  # closed without a farewell
            return placed, True
        return placed, False

    async def _feed(self, to_come: int) -> None:
        """Receive once, however much is there."""
        held = self._incoming.pending + RECORD_BYTES_MAX
        received = await self._plain.receive_into(_RECEIVED, to_come - held)
        if received:
            self._incoming.write(_RECEIVED[:received])
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._send_encrypted():
            await self._plain.writable()

    def _send_encrypted(self) -> bool:
        """Send what is encrypted, in its order; False if the kernel takes no more for now."""
        while self.unsent:
            self._encrypted = self._encrypted or memoryview(self._outgoing.read())
            sent = self._plain.push([self._encrypted])
            if not sent:
                return False
            self._encrypted = self._encrypted[sent:]
        return True
