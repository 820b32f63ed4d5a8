"""How many requests to S3 each mount has made, day by day (UTC), kept for the next supervisor. Run by daemon.py.

The counters are the engines'; here is what they were at the last look, so that what is new belongs to a day. A
supervisor that finds an engine alive goes on where the one before had noted it to be; of one that died before its next
heartbeat, or while there was no supervisor, what it asked for since then is not known.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import trio
from pydantic import BaseModel, Field

from engine.counted import Stats
from mountctl.cost import Prices, Requests, counted
from mountctl.status import CostStatus, DayCost
from mountctl.supervisor import state_file
from mountctl.supervisor.mount import Mount

# A week, and the day that is not over.
DAYS_KEPT: Final = 8
# A day's end is seen so late at most.
LOOK_SECONDS: Final = 10.0
# It is a write that waits for the disk, and what it would lose is seen again while the engine lives.
SAVE_SECONDS: Final = 60.0
_FILE_MODE: Final = 0o600  # names of mounts are nobody else's business


class Counting(NamedTuple):
    """What a mount has counted.

    Args:
        requests: by operation, in this supervisor's time by all its engines, or before by the one that it found.
        engine: the process that serves it; None: there is none.
        by_engine: that one's alone.
    """

    requests: Mapping[str, int]
    engine: int | None
    by_engine: Mapping[str, int]


def counting(mount: Mount, stats: Stats) -> Counting:
    """Of a mount, whose counters are these."""
    engine = None if mount.engine is None else mount.engine.pid
    return Counting(stats.s3_requests, engine, mount.engines.counted_by_current.s3_requests)


class _Account(BaseModel):
    """Of one mount."""

    engine: int | None = None  # the process that ...
    seen: dict[str, int] = Field(default_factory=dict)  # ... had made so many requests by then
    days: dict[str, tuple[int, int, int]] = Field(default_factory=dict)  # by date: Requests
    total: tuple[int, int, int] = (0, 0, 0)


class _File(BaseModel):
    mounts: dict[str, _Account] = Field(default_factory=dict)


class Spending:
    """The accounts of one supervisor's mounts.

    Args:
        state_dir: where they are kept; None: nowhere.
        runtime_dir: this supervisor's.
        clock: seconds since the epoch.
    """

    def __init__(self, state_dir: Path | None, runtime_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = None if state_dir is None else state_file.path_of(state_dir, "requests", runtime_dir)
        self._clock = clock
        self._accounts = {} if self._path is None else _read(self._path)
        self._last: dict[str, Mapping[str, int]] = {}  # by mount: its counters at the last look
        self._told: dict[str, tuple[tuple[tuple[int, int, int], str, Prices], CostStatus]] = {}
        self._unsaved = False

    async def run(self, mounts: Callable[[], Mapping[str, Mount]]) -> None:
        """Look and save until cancelled, and then once more."""
        saved = trio.current_time()
        try:
            while True:
                await trio.sleep(LOOK_SECONDS)
                self.look({name: counting(mount, mount.stats) for name, mount in mounts().items()})
                if self._unsaved and trio.current_time() - saved >= SAVE_SECONDS:
                    saved = trio.current_time()
                    await trio.to_thread.run_sync(self._save, self._text())
        finally:
            self.look({name: counting(mount, mount.stats) for name, mount in mounts().items()})
            self._save(self._text())

    def look(self, mounts: Mapping[str, Counting]) -> None:
        """Put down what is new of all mounts that there are."""
        today = self._today()
        for name, mount in mounts.items():
            self.note(name, mount)
        for name in self._last.keys() - mounts.keys():
            del self._last[name]  # another of its name begins at zero
        for name in self._told.keys() - mounts.keys():
            del self._told[name]
        oldest = (date.fromisoformat(today) - timedelta(DAYS_KEPT - 1)).isoformat()
        for name, account in list(self._accounts.items()):
            account.days = {day: requests for day, requests in account.days.items() if day >= oldest}
            if not account.days and name not in mounts:
                del self._accounts[name]

    def told(self, prices: Prices, mount: Mount, stats: Stats) -> CostStatus:
        """What a mount's requests cost, as of now."""
        self.note(mount.spec.name, counting(mount, stats))
        return self.cost(mount.spec.name, prices)

    def cost(self, name: str, prices: Prices) -> CostStatus:
        """What is noted of a mount's requests, in money; today's also if there were none."""
        account = self._accounts.get(name) or _Account()
        today = self._today()
        state = (account.total, today, prices)  # days change with the total, or with the date
        if name in self._told and self._told[name][0] == state:
            return self._told[name][1]
        cost = self._cost_of(account, today, prices)
        self._told[name] = state, cost
        return cost

    def _cost_of(self, account: _Account, today: str, prices: Prices) -> CostStatus:
        # What a clock that was ahead noted is not told; nor is it dropped, as it may be this one that is wrong.
        past = {day: Requests(*requests) for day, requests in account.days.items() if day <= today}
        days = {today: Requests()} | past
        return CostStatus(
            currency=prices.currency,
            today=_rounded(days[today].cost(prices)),
            total=_rounded(Requests(*account.total).cost(prices)),
            days=[
                DayCost(day=day, cost=_rounded(requests.cost(prices)), **requests._asdict())
                for day, requests in sorted(days.items(), reverse=True)[:DAYS_KEPT]
            ],
        )

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()

    def note(self, name: str, mount: Counting) -> None:
        """Put down what is new of a mount."""
        now, account = mount.requests, self._accounts.get(name)
        if now is self._last.get(name):
            return  # no heartbeat has come since
        if name in self._last:
            before = self._last[name]
        elif not now:
            return  # of an engine that was found alive nothing has been heard yet
        elif account is not None and mount.engine is not None and mount.engine == account.engine:
            before = account.seen
        else:
            before = {}
        if any(now.get(operation, 0) < count for operation, count in before.items()):
            before = {}  # counted anew
        new = counted({operation: count - before.get(operation, 0) for operation, count in now.items()})
        self._last[name] = now
        if not any(new):
            return
        account = self._accounts.setdefault(name, _Account())
        today = self._today()
        account.days[today] = Requests(*account.days.get(today, (0, 0, 0))).plus(new)
        account.total = Requests(*account.total).plus(new)
        account.engine, account.seen = mount.engine, dict(mount.by_engine)
        self._unsaved = True

    def _text(self) -> str:
        self._unsaved = False
        return _File(mounts=self._accounts).model_dump_json()

    def _save(self, text: str) -> None:
        if self._path is None:
            return
        state_file.keep(self._path, text, "costs begin anew with the next supervisor", mode=_FILE_MODE)


def _read(path: Path) -> dict[str, _Account]:
    found = state_file.read(path, _File, "costs begin anew")
    return {} if found is None else found.mounts


def _rounded(cost: float) -> float:
    """To what the cheapest request costs, 0.0000004 dollars: sums of floats have longer tails."""
    return round(cost, 7)
