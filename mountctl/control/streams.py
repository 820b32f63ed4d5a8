"""Answers of the control socket that go on: the status as it changes, events, a mount's log. Called by server.py.

A line of JSON each, and an empty line as a sign of life when there is nothing to tell. Nothing is kept for a watcher
but a number: who reads slowly gets the status as it is then, or hears how many events it has missed.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import trio

from mountctl.control.offer import Control
from mountctl.control.protocol import LINES_MAX, NAME_PARAMETER, packed
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.events import Events
from mountctl.supervisor.log_lines import LogLines

# https://github.com/ndjson/ndjson-spec
CONTENT_TYPE: Final = "application/x-ndjson"
# How soon a watcher notices that the supervisor hangs, and the supervisor that a watcher is gone.
SIGN_SECONDS: Final = 1.0
# Changes that come faster are told together: a reload of a thousand mounts is not a thousand tables.
PAUSE_SECONDS: Final = 0.1
# Counters, times of expiry and the kernel's figures change without a word.
REFRESH_SECONDS: Final = 5.0
# Of a number that is asked for. Python itself refuses to read thousands.
_DIGITS_MAX: Final = 30

Send = Callable[[bytes], Awaitable[None]]


class Stream:
    """The body of an answer, with its end or without. Awaiting a call of it sends it."""

    def __init__(self, body: Callable[[Send], Awaitable[None]]) -> None:
        self._body = body

    async def __call__(self, send: Send) -> None:
        """Send it all."""
        await self._body(send)


class WrongQuestion(Exception):
    """What was asked has no answer; the message says why."""


def stream(path: str, control: Control, asked: Mapping[str, Sequence[str]]) -> Stream:
    """The stream at this path. Raises WrongQuestion, UnknownMount."""
    names = asked.get(NAME_PARAMETER, ())
    follow = "follow" in asked
    match path:
        case "/v1/status":
            control.present(names, at_first=True)
            return Stream(lambda send: _status(control, names, send))
        case "/v1/events":
            since = _number(asked, "since", 0)
            return Stream(lambda send: _events(control.events, since, send, follow=follow))
        case _:
            if len(names) != 1:
                raise WrongQuestion(f"which mount? {path}?{NAME_PARAMETER}=...")
            lines, count = control.log_lines(names[0]), _number(asked, "lines", LINES_MAX)
            return Stream(lambda send: _logs(lines, count, send, follow=follow))


def _number(asked: Mapping[str, Sequence[str]], name: str, default: int) -> int:
    told = asked.get(name, [str(default)])[0]
    if not (told.isascii() and told.isdigit() and len(told) <= _DIGITS_MAX):
        raise WrongQuestion(f"{name} must be a whole number, and none below 0")
    return int(told)


async def _status(control: Control, names: Sequence[str], send: Send) -> None:
    while True:
        seen = control.changes.count
        await send(packed(control.present(names, at_first=False)) + b"\n")
        await trio.sleep(PAUSE_SECONDS)
        await _changed(control.changes, seen, send, REFRESH_SECONDS)


async def _events(events: Events, since: int, send: Send, *, follow: bool) -> None:
    while True:
        seen, missed = events.changes.count, events.missed(since)
        told = events.after(since)
        lines = [json.dumps({"missed": missed})] if missed and follow else []
        lines += [each.json() for each in told]
        if lines:
            since = told[-1].id
            await send("".join(f"{line}\n" for line in lines).encode())
        if not follow:
            return
        await _changed(events.changes, seen, send)


async def _logs(lines: LogLines, count: int, send: Send, *, follow: bool) -> None:
    told, total = lines.last(count)
    while True:
        seen = lines.changes.count
        if told:
            await send("".join(f"{json.dumps({'line': line})}\n" for line in told).encode())
        if not follow or (lines.over and seen == lines.changes.count):
            return
        await _changed(lines.changes, seen, send)
        told, total = lines.after(total)


async def _changed(changes: Changes, seen: int, send: Send, seconds: float = math.inf) -> None:
    """Wait for a change, or for so long, and give signs of life meanwhile."""
    limit = trio.current_time() + seconds
    while changes.count <= seen and trio.current_time() < limit:
        with trio.move_on_after(min(SIGN_SECONDS, limit - trio.current_time())):
            await changes.after(seen)
            return
        await send(b"\n")
