"""The control socket's server: who may come in, what they may ask, and how little a bad peer can do.

Run by daemon.py in the supervisor's loop. Knows HTTP and who is asking; what an answer says is the `Control`'s. Never
lets a peer (silent, slow, garbled, greedy) or an error in an answer end the supervisor.
"""

import logging
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import h11
import trio
from pydantic import ValidationError

from engine.facts import about
from engine.message_ids import CONTROL_REFUSED
from engine.restores import AskRestore
from engine.spec import MountSpec
from mountctl.control import level_route, pages, streams, volume_routes
from mountctl.control.answers import Answer, problem, told
from mountctl.control.connections import Connection, Connections, Patience
from mountctl.control.offer import Control
from mountctl.control.peers import Peer, group_id, groups_of, may_enter, peer_of, who_may
from mountctl.control.protocol import (
    CONFIRM_SECONDS_MAX,
    MOUNTS_PATH,
    NAME_PARAMETER,
    STOP_SECONDS_MAX,
    ReloadResult,
    packed,
)
from mountctl.control.streams import Stream
from mountctl.errors import ControlSocketUnusable, MountctlError, UnknownMount
from mountctl.supervisor.wanted import Wish

# A request is a line, a few headers and at most a mount: a thousand mounts' names fit.
REQUEST_BYTES_MAX: Final = 64 * 1024
# Each is a file descriptor and a task; a peer that keeps us waiting makes room for one more.
CONNECTIONS_MAX: Final = 128
# Of them those that are watched by somebody, for as long as he likes ...
STREAMS_MAX: Final = 32
# ... and commands, which take as long as it takes (fstab's lines come all at once): who only looks must find a place.
COMMANDS_MAX: Final = 64
# For a peer to send its request, and again to take the answer. A reload in between takes as long as it takes.
PEER_SECONDS_MAX: Final = 30.0
# For a peer that was turned away to take its answer; it has a slot of the kernel's, none of ours.
_REFUSAL_SECONDS_MAX: Final = 1.0
_RECEIVE_BYTES: Final = 16 * 1024
_BACKLOG: Final = 64
_CLOSE: Final = ("Connection", "close")

_log = logging.getLogger(__name__)


async def serve(
    socket_path: Path,
    control: Control,
    *,
    group: str | None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on the socket until cancelled; it is gone at the end. Reports started when it listens.

    Args:
        socket_path: where; a socket left over from a supervisor that was killed is replaced.
        control: answers.
        group: members of this Unix group may use the socket, beside root and this process's user.
        task_status: trio's.

    Raises:
        ControlSocketUnusable: the path is too long, is not ours to write, or holds something else; no such group.
    """
    server = _Server(control, group_id(group) if group is not None else None)
    listening = _listen(socket_path, server.gid)
    try:
        task_status.started()
        await trio.serve_listeners(server.greet, [trio.SocketListener(listening)])
    finally:
        listening.close()
        _remove(socket_path)


@dataclass(frozen=True, slots=True)
class _Request:
    head: h11.Request
    body: bytes


class _Wrong(Exception):
    """The request says what it may not; the text is a sentence."""


class _TooLong(Exception):
    """The request is longer than REQUEST_BYTES_MAX."""


class _Server:
    def __init__(self, control: Control, gid: int | None) -> None:
        self.gid: Final = gid
        self._control = control
        self._connections = Connections()
        self._streams = 0
        self._commands = 0
        # Looking up a user may ask a directory server; a few who are not root can wait for each other.
        self._lookups = trio.CapacityLimiter(2)

    async def greet(self, stream: trio.SocketStream) -> None:
        """One connection, from its first byte to its last."""
        connection: Connection | None = None
        try:
            async with stream:
                peer = peer_of(stream)
                if self._connections.count >= CONNECTIONS_MAX and not self._connections.make_room():
                    await _turn_away(stream, problem(503, f"{CONNECTIONS_MAX} connections are open; try again"))
                    return
                connection = self._connections.enter(peer.uid)
                with connection.scope:
                    await self._admit(stream, peer, connection)
                if connection.scope.cancelled_caught and not connection.answering:
                    await _turn_away(stream, problem(503, "others needed the place of a connection that asks nothing"))
        except trio.BrokenResourceError:
            _log.debug("a peer of the control socket went away")
        except Exception:  # noqa: BLE001 - whatever one peer brings about must not end the supervisor
            _log.exception("control socket: internal error")
        finally:
            if connection is not None:
                self._connections.leave(connection)

    async def _admit(self, stream: trio.SocketStream, peer: Peer, connection: Connection) -> None:
        if (refusal := await self._refusal(peer)) is not None:
            connection.answering = True
            await _turn_away(stream, refusal)
        else:
            await self._converse(stream, peer, connection)

    async def _refusal(self, peer: Peer) -> Answer | None:
        """Why this peer can't come in; None if it can. Nothing it sent has been read."""
        groups: list[int] = []
        if self.gid is not None and peer.uid not in (0, os.geteuid()):
            groups = await trio.to_thread.run_sync(groups_of, peer, abandon_on_cancel=True, limiter=self._lookups)
        if not may_enter(peer, os.geteuid(), groups, self.gid):
            text = "control socket: refused user %d (process %d)"
            _log.warning(text, peer.uid, peer.pid, extra=about(CONTROL_REFUSED))
            return problem(403, who_may(peer.uid, self.gid))
        return None

    async def _converse(self, stream: trio.SocketStream, peer: Peer, connection: Connection) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES_MAX)
        try:
            with trio.fail_after(PEER_SECONDS_MAX):
                request = await _read_request(stream, http)
        except trio.TooSlowError:
            answer = problem(408, f"no whole request came within {PEER_SECONDS_MAX:.0f} s")
        except _TooLong:
            answer = problem(413, f"a request has at most {REQUEST_BYTES_MAX} bytes")
        except h11.RemoteProtocolError as error:
            answer = problem(error.error_status_hint, f"that is not HTTP/1.1: {error}")
        else:
            if request is None:
                return
            connection.at_work = True
            found = await self._answer(request, peer)
            if isinstance(found, Stream):
                await self._stream(stream, http, found)
                return
            answer = found
            connection.at_work = False
        connection.answering = True
        with trio.move_on_after(PEER_SECONDS_MAX):
            await _send_answer(stream, http, answer)

    async def _stream(self, stream: trio.SocketStream, http: h11.Connection, answer: Stream) -> None:
        """Send an answer that goes on. A peer that does not take it in time is dropped, and loses the rest."""
        patience = Patience(stream.socket, PEER_SECONDS_MAX)

        async def send(event: h11.Event) -> None:
            await patience.send(stream, http.send(event) or b"")

        self._streams += 1
        try:
            await send(h11.Response(status_code=200, headers=[("Content-Type", streams.CONTENT_TYPE), _CLOSE]))
            await answer(lambda lines: send(h11.Data(data=lines)))
            await send(h11.EndOfMessage())
        except trio.TooSlowError:
            _log.info("control socket: dropped a watcher that has not read for %.0f s", PEER_SECONDS_MAX)
        finally:
            self._streams -= 1

    async def _answer(self, request: _Request, peer: Peer) -> "Answer | Stream":
        is_command = request.head.method == b"POST"
        if is_command and self._commands >= COMMANDS_MAX:
            return problem(503, f"{COMMANDS_MAX} commands are at work; try again")
        self._commands += is_command
        try:
            return await self._route(request, peer)
        except UnknownMount as error:
            return problem(404, str(error))
        except _Wrong as error:
            return problem(400, str(error))
        except MountctlError as error:
            return problem(500, str(error))
        except Exception:  # noqa: BLE001 - a bug in one answer is told, and ends nothing
            _log.exception("control socket: %s failed", request.head.target.decode())
            return problem(500, "internal error; the supervisor's log has it")
        finally:
            self._commands -= is_command

    async def _route(self, request: _Request, peer: Peer) -> "Answer | Stream":
        path, _, query = request.head.target.decode("ascii").partition("?")
        asked = parse_qs(query, keep_blank_values=True)
        names = asked.get(NAME_PARAMETER, [])
        match request.head.method, path:
            case b"GET", "/v1/events" | "/v1/logs":
                return self._streamed(path, asked)
            case b"GET", "/v1/status" if "watch" in asked:
                return self._streamed(path, asked)
            case b"GET", "/v1/status":
                return Answer(200, packed(self._control.status(names)))
            case b"GET", _ if path in pages.PATHS:
                return self._page(path, request)
            case b"GET", "/v1/plan":
                return Answer(200, packed(await self._control.plan()))
            case b"POST", "/v1/reload":
                return await self._reload(asked)
            case b"POST", "/v1/confirm":
                await self._control.confirm()
                return Answer(200, packed(ReloadResult(ok=True)))
            case b"POST", "/v1/restart" | "/v1/stop" | "/v1/start" if not names:
                return problem(400, f"which mounts? {path}?{NAME_PARAMETER}=...")
            case method, "/v1/log-level" if method != b"HEAD":
                return await level_route.answer(method, self._control, asked, peer)
            case b"POST", "/v1/stop":
                return await self._stop(names, asked, peer)
            case b"POST", "/v1/start":
                return Answer(200, packed(await self._control.start(names)))
            case b"GET", "/v1/users" if names:
                return Answer(200, packed(await self._control.users(names[0])))
            case b"POST", "/v1/restart":
                return Answer(200, packed(await self._control.restart(names)))
            case b"POST", "/v1/upgrade":
                return Answer(200, packed(await self._control.upgrade()))
            case b"POST", "/v1/restore" if names:
                return Answer(200, packed(await self._control.restore(names[0], _restore_of(request.body))))
            case b"POST", "/v1/mounts":
                return await self._add(request.body, peer)
            case _, "/v1/mounts/apply" | "/v1/mounts/release":
                return await volume_routes.answer(request.head.method, path, request.body, self._control, peer)
            case b"HEAD", _:
                return Answer(405, b"", allow="GET, POST")  # an answer to HEAD has no body
            case _, "/metrics" | "/v1/metrics" | "/v1/status" | "/v1/plan" | "/v1/users" | "/v1/events" | "/v1/logs":
                return problem(405, f"{path} takes GET", allow="GET")
            case _, "/v1/mounts":
                return problem(405, f"{MOUNTS_PATH} takes POST", allow="POST")
            case (
                _,
                "/v1/restore" | "/v1/reload" | "/v1/confirm" | "/v1/stop" | "/v1/start" | "/v1/restart" | "/v1/upgrade",
            ):
                return problem(405, f"{path} takes POST", allow="POST")
            case _:
                return problem(404, f"nothing is at {path}")

    def _page(self, path: str, request: _Request) -> Answer:
        accept = next((value.decode("latin-1") for name, value in request.head.headers if name == b"accept"), "")
        found = pages.page(path, accept, lambda: self._control.status(()))
        assert found is not None, "one of their paths"
        return Answer(200, found.body, content_type=found.content_type)

    def _streamed(self, path: str, asked: Mapping[str, Sequence[str]]) -> "Answer | Stream":
        if self._streams >= STREAMS_MAX:
            return problem(503, f"{STREAMS_MAX} streams are open; try again")
        try:
            return streams.stream(path, self._control, asked)
        except streams.WrongQuestion as error:
            return problem(400, str(error))

    async def _reload(self, asked: Mapping[str, Sequence[str]]) -> Answer:
        try:
            confirm = float(asked["confirm"][0]) if "confirm" in asked else None
        except ValueError:
            return problem(400, "confirm must be a number of seconds")
        if confirm is not None and not 0 < confirm <= CONFIRM_SECONDS_MAX:
            return problem(400, f"confirm must be more than 0 and at most {CONFIRM_SECONDS_MAX:.0f} seconds")
        only = tuple(asked.get("only", ()))
        wish = Wish(yes="yes" in asked, atomic="atomic" in asked, only=only, confirm=confirm)
        return Answer(200, packed(await self._control.reload(wish)))

    async def _stop(self, names: Sequence[str], asked: Mapping[str, Sequence[str]], peer: Peer) -> Answer:
        try:
            seconds = float(asked.get("seconds", ["0"])[0])
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= STOP_SECONDS_MAX:
            return problem(400, f"seconds must be from 0 to {STOP_SECONDS_MAX:.0f}")
        return Answer(200, packed(await self._control.stop(names, peer.uid, seconds)))

    async def _add(self, body: bytes, peer: Peer) -> Answer:
        if peer.uid not in (0, os.geteuid()):
            return problem(403, f"user {peer.uid} may not add mounts: only root may")
        try:
            spec = MountSpec.model_validate_json(body)
        except ValidationError as error:
            return problem(400, f"that is not a mount: {told(error)}")
        await self._control.add(spec)
        return Answer(200, packed(self._control.status([spec.name])))


def _restore_of(body: bytes) -> AskRestore:
    try:
        return AskRestore.model_validate_json(body)
    except ValidationError as error:
        raise _Wrong(f"that is not a request to restore: {told(error)}") from error


async def _read_request(stream: trio.SocketStream, connection: h11.Connection) -> _Request | None:
    """One whole request; None if the peer only came and went."""
    head: h11.Request | None = None
    body = b""
    received = 0
    while True:
        match event := connection.next_event():
            case h11.Request():
                head = event
            case h11.EndOfMessage() | h11.PAUSED:
                return None if head is None else _Request(head, body)
            case h11.ConnectionClosed():
                return None
            case h11.NEED_DATA:
                data = await stream.receive_some(_RECEIVE_BYTES)
                received += len(data)
                if received > REQUEST_BYTES_MAX:
                    raise _TooLong
                connection.receive_data(data)
            case h11.Data():
                body += event.data


async def _send_answer(stream: trio.SocketStream, connection: h11.Connection, answer: Answer) -> None:
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        _CLOSE,
        *([("Allow", answer.allow)] if answer.allow else []),
    ]
    head = h11.Response(status_code=answer.status, headers=headers)
    for event in (head, h11.Data(data=answer.body), h11.EndOfMessage()):
        await stream.send_all(connection.send(event) or b"")


async def _turn_away(stream: trio.SocketStream, answer: Answer) -> None:
    """Answer before reading; then let the peer take it: closing at once could break its sending."""
    with trio.move_on_after(_REFUSAL_SECONDS_MAX):
        await _send_answer(stream, h11.Connection(h11.SERVER), answer)
        await stream.send_eof()
        while await stream.receive_some(_RECEIVE_BYTES):
            pass


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listen(path: Path, gid: int | None) -> trio.socket.SocketType:
    """A listening socket with its owner and mode set before anybody can connect."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        sock.bind(str(path))
        if gid is not None:
            os.chown(path, -1, gid)
        path.chmod(0o600 if gid is None else 0o660)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise ControlSocketUnusable(f"cannot listen on {path}: {error.strerror or error}") from error
    return trio.socket.from_stdlib_socket(sock)
