"""`events --follow` and `status --watch` over the end of a supervisor: until its successor has a place for them."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from mountctl.commands import events, status_watch
from mountctl.errors import MountctlError, Refused, SupervisorBusy, SupervisorNotRunning, SupervisorSilent

NONE = SupervisorNotRunning("no supervisor")
SILENT = SupervisorSilent("no answer")
BUSY = SupervisorBusy("32 streams are open; try again")
NO = Refused("no")

Attempt = list[dict[str, Any]] | MountctlError


class Client:
    """Stands for a supervisor and its successors: each attempt to follow gets the next of these answers."""

    def __init__(self, *attempts: Attempt) -> None:
        self.attempts = list(attempts)
        self.since: list[int] = []

    def events(self, since: int, *, follow: bool) -> Iterator[dict[str, Any]]:
        assert follow
        self.since.append(since)
        return self.watch([])

    def watch(self, names: object) -> Iterator[dict[str, Any]]:
        attempt = self.attempts.pop(0)
        if isinstance(attempt, MountctlError):
            raise attempt
        yield from attempt


Following = Callable[[Any], Iterator[Any]]


def following_events(client: Any) -> Iterator[Any]:
    return events._followed(client, 0)


def following_status(client: Any) -> Iterator[Any]:
    return (each for each in status_watch.statuses(client, []) if not isinstance(each, MountctlError))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


@pytest.mark.parametrize("following", [following_events, following_status])
def test_who_follows_comes_again_until_the_next_supervisor_has_a_place_for_him(following: Following) -> None:
    client = Client([{"id": 7}], NONE, BUSY, SILENT, BUSY, [{"id": 8}])

    assert list(islice(following(client), 2)) == [{"id": 7}, {"id": 8}]
    assert client.since in ([], [0, 7, 7, 7, 7, 7])


@pytest.mark.parametrize("error", [NONE, BUSY, NO])
@pytest.mark.parametrize("following", [following_events, following_status])
def test_who_cannot_follow_to_begin_with_is_told_why(following: Following, error: MountctlError) -> None:
    with pytest.raises(type(error)):
        next(following(Client(error)))


@pytest.mark.parametrize("following", [following_events, following_status])
def test_what_the_next_supervisor_refuses_for_good_ends_it(following: Following) -> None:
    followed = following(Client([{"id": 7}], NO))
    next(followed)

    with pytest.raises(Refused):
        next(followed)
