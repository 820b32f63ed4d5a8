"""A host's addresses: which one the next connection goes to, and how a broken one is got around.

Owned by pool.py, one for each endpoint. Connections take the addresses in turn, so that load spreads over S3's front
ends. Names are resolved again behind the requests' backs: only the first one waits for DNS, and one after a long pause.
An address that gave no connection is left alone for a while. Knows nothing of HTTP or TLS, and never retries.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.s3 import wire
from engine.s3.wire import Address, PlainWire

# S3's names have addresses good for 5 s, so that load spreads over its front ends.
RESOLVED_SECONDS_MAX: Final = 5.0

# An address that DNS no longer gives still serves for a while: S3's answers name 8 of hundreds, others each time.
KEPT_SECONDS: Final = 30.0

# Addresses that are older than KEPT_SECONDS do if DNS has not answered after so long: it takes some milliseconds.
WAITED_SECONDS_MAX: Final = 1.0

# Nobody waits for a name that is resolved again; the system's resolver asks its second server after 5 s.
RESOLVING_SECONDS_MAX: Final = 10.0

# How long an address that gave no connection comes last: a front end that is replaced is gone from DNS by then.
AVOIDED_SECONDS: Final = 30.0

# RFC 8305 (Happy Eyeballs), section 5: 250 ms until the next address is tried beside; a bit more for the far side of
# the world, where a handshake takes as long.
NEXT_ADDRESS_SECONDS: Final = 0.3

# A name's first addresses stand for all: with the pause between them, the last one is tried after 0.9 s.
ADDRESSES_TRIED_MAX: Final = 4

Open = Callable[[Address], Awaitable[PlainWire]]


class Addresses:
    """Those of one host.

    Args:
        host: a name, or an address itself.
        port: for all of them.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._seen: dict[Address, float] = {}  # when DNS named it last
        self._first: list[Address] = []  # of the family that the system prefers, or that works
        self._others: list[Address] = []
        self._turn = random.getrandbits(16)  # engines that start together shall not all begin at the same one
        self._avoided: dict[Address, float] = {}  # until when
        self._resolved_at = float("-inf")
        self._resolving = False
        self._first_time = trio.Lock()

    @property
    def count(self) -> int:
        """How many are known."""
        return len(self._seen)

    def avoid(self, address: Address) -> None:
        """It gave no connection: let others come first for a while."""
        self._avoided[address] = trio.current_time() + AVOIDED_SECONDS

    async def connect(self, open_at: Open, but: Address | None = None) -> tuple[Address, PlainWire]:
        """A connection to one that answers: `open_at` each in turn, the next one beside if one takes its time.

        `but`: rather not to this one. Raises the last one's OSError if all fail; has no limit of time of its own.
        """
        return await self._first_to_open(await self.to_try(but), open_at)

    async def to_try(self, but: Address | None = None) -> list[Address]:
        """Which to try, in which order. Raises OSError if the name was never resolved."""
        await self._refresh()
        self._turn += 1
        first, others = _rotated(self._first, self._turn), _rotated(self._others, self._turn)
        # Both families soon: where one of them leads nowhere, often none of its addresses answers.
        mixed = [address for pair in zip(first, others, strict=False) for address in pair]
        mixed += first[len(others) :] + others[len(first) :]
        now = trio.current_time()
        self._avoided = {address: until for address, until in self._avoided.items() if until > now}
        mixed.sort(key=lambda address: (self._avoided.get(address, 0.0), address == but))
        return mixed[:ADDRESSES_TRIED_MAX]

    async def _first_to_open(self, addresses: list[Address], open_at: Open) -> tuple[Address, PlainWire]:
        if len(addresses) == 1:
            return addresses[0], await open_at(addresses[0])
        won: list[tuple[Address, PlainWire]] = []
        failures: dict[Address, OSError] = {}

        async def attempt(address: Address, over: trio.Event) -> None:
            try:
                opened = await open_at(address)
            except OSError as error:
                failures[address] = error
                over.set()
                return
            if won:
                opened.close()
            else:
                won.append((address, opened))
                nursery.cancel_scope.cancel()

        tried: list[Address] = []
        try:
            async with trio.open_nursery() as nursery:
                for address in addresses:
                    over = trio.Event()
                    tried.append(address)
                    nursery.start_soon(attempt, address, over)
                    with trio.move_on_after(NEXT_ADDRESS_SECONDS):
                        await over.wait()
        except BaseException:
            for _, opened in won:
                opened.close()
            raise
        if not won:
            for address in failures:
                self.avoid(address)
            raise failures[tried[-1]]
        self._learn(tried, won[0][0])
        return won[0]

    def _learn(self, tried: list[Address], winner: Address) -> None:
        """Who was tried before the winner is slow or broken; and so is all of its family if the other one works."""
        for loser in tried[: tried.index(winner)]:
            same = loser[0] == winner[0]
            for address in [loser] if same else [address for address in self._seen if address[0] == loser[0]]:
                self.avoid(address)

    async def _refresh(self) -> None:
        age = trio.current_time() - self._resolved_at
        if not self._seen:
            async with self._first_time:
                if not self._seen:
                    self._take(await wire.resolve(self._host, self._port))
        elif age > KEPT_SECONDS:
            with trio.move_on_after(WAITED_SECONDS_MAX):
                await self._resolve_again()
        elif age > RESOLVED_SECONDS_MAX and not self._resolving:
            trio.lowlevel.spawn_system_task(self._resolve_again, name=f"resolve {self._host}")

    async def _resolve_again(self) -> None:
        """Keeps what is known if DNS does not know it any more, or says nothing."""
        self._resolving = True
        try:
            with trio.move_on_after(RESOLVING_SECONDS_MAX):
                self._take(await wire.resolve(self._host, self._port))
        except (OSError, UnicodeError):
            pass
        finally:
            self._resolving = False
            self._resolved_at = trio.current_time()  # whatever came: not asked again for each connection

    def _take(self, found: list[Address]) -> None:
        if not found:
            return
        self._resolved_at = now = trio.current_time()
        self._seen = {address: at for address, at in self._seen.items() if now - at <= KEPT_SECONDS}
        self._seen.update(dict.fromkeys(found, now))
        family = found[0][0]
        self._first = [address for address in self._seen if address[0] == family]
        self._others = [address for address in self._seen if address[0] != family]


def _rotated(addresses: list[Address], turn: int) -> list[Address]:
    at = turn % len(addresses) if addresses else 0
    return addresses[at:] + addresses[:at]
