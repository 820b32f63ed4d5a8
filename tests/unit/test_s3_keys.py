"""Keys and endpoints that change under a running client: new ones are asked for, waited for and used at once."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from engine.errors import AccessDenied, NoSuchKey
from engine.link import Access, Credentials
from engine.s3.client import KEYS_SECONDS_MAX, HttpClient
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer, error

HEAD = Answer(200, {"Content-Length": "5", "ETag": '"e"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})
EMPTY_LIST = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
IDLE_SECONDS = 0.02


class Owner:
    """Owns a client as an engine does: counts what it is asked for, and gives `answer` after `delay` seconds."""

    def __init__(self, server: ScriptedServer, nursery: trio.Nursery, answer: Access | None, delay: float) -> None:
        self.asked = 0
        self.client = HttpClient(server.access(), stats=EngineStats(), rejected=self.rejected)
        self._nursery, self._answer, self._delay = nursery, answer, delay

    def rejected(self) -> None:
        self.asked += 1
        self._nursery.start_soon(self._give)

    async def _give(self) -> None:
        await trio.sleep(self._delay)
        if self._answer is not None:
            self.client.use(self._answer)


def talk(
    script: list[Answer], question: Callable[[Owner], Awaitable[Any]], *, new_keys: bool = True, delay: float = 2.0
) -> tuple[ScriptedServer, int]:
    """Ask a server that follows the script; returns it and how often the owner was asked for keys."""
    server = ScriptedServer(script)

    async def main() -> int:
        async with server.running(), trio.open_nursery() as nursery:
            owner = Owner(server, nursery, server.access(access_key="NEW") if new_keys else None, delay)
            await question(owner)
            await owner.client.aclose()
        return owner.asked

    return server, trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))


def signers(server: ScriptedServer) -> list[str]:
    return [seen.headers["authorization"].partition("Credential=")[2].partition("/")[0] for seen in server.seen]


@pytest.mark.parametrize("refusal", [error(400, "ExpiredToken"), error(403, "InvalidAccessKeyId")])
def test_a_request_whose_keys_are_refused_waits_for_new_ones_and_succeeds(refusal: Answer) -> None:
    async def once(owner: Owner) -> None:
        await owner.client.list_objects("")

    server, asked = talk([refusal, EMPTY_LIST], once)
    assert signers(server) == ["AK", "NEW"]
    assert asked == 1


def test_many_refused_requests_ask_for_new_keys_once() -> None:
    async def many(owner: Owner) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(owner.client.list_objects, "")

    server, asked = talk([error(400, "ExpiredToken")] * 5 + [EMPTY_LIST], many)
    assert sorted(signers(server)) == ["AK"] * 5 + ["NEW"] * 5
    assert asked == 1


def test_without_new_keys_in_time_the_refusal_is_told() -> None:
    async def once(owner: Owner) -> None:
        started = trio.current_time()
        with pytest.raises(AccessDenied) as caught:
            await owner.client.list_objects("")
        assert caught.value.code == "ExpiredToken"
        assert trio.current_time() - started == pytest.approx(KEYS_SECONDS_MAX, abs=1.0)

    server, asked = talk([error(400, "ExpiredToken")], once, new_keys=False)
    assert (signers(server), asked) == (["AK"], 1)


def test_new_keys_that_are_refused_too_are_not_asked_for_again_by_the_same_request() -> None:
    async def once(owner: Owner) -> None:
        with pytest.raises(AccessDenied):
            await owner.client.list_objects("")

    server, asked = talk([error(403, "InvalidAccessKeyId")], once)
    assert (signers(server), asked) == (["AK", "NEW"], 1)


def test_a_bad_signature_means_changed_keys_only_if_they_had_worked() -> None:
    async def never_worked(owner: Owner) -> None:
        with pytest.raises(AccessDenied):
            await owner.client.list_objects("")

    async def worked(owner: Owner) -> None:
        await owner.client.list_objects("")
        await owner.client.list_objects("")

    assert talk([error(403, "SignatureDoesNotMatch")], never_worked)[1] == 0
    assert talk([EMPTY_LIST, error(403, "SignatureDoesNotMatch"), EMPTY_LIST], worked)[1] == 1


def test_a_head_that_an_expired_token_made_fail_asks_for_new_keys_although_it_has_no_code() -> None:
    async def twice(owner: Owner) -> None:
        await owner.client.head_object("k")
        await owner.client.head_object("k")

    server, asked = talk([HEAD, Answer(400), HEAD], twice)
    assert (signers(server), asked) == (["AK", "AK", "NEW"], 1)


def test_a_denied_request_does_not_ask_for_new_keys() -> None:
    async def once(owner: Owner) -> None:
        with pytest.raises(AccessDenied):
            await owner.client.list_objects("")

    server, asked = talk([error(403, "AccessDenied")], once)
    assert (len(server.seen), asked) == (1, 0)


def test_new_keys_go_over_the_connections_that_are_open() -> None:
    async def switch(owner: Owner) -> None:
        await owner.client.list_objects("")
        endpoint = Access(
            name="m",
            endpoint=server_url(owner),
            region="us-east-1",
            credentials=Credentials(access_key="NEW", secret_key="S2", token="T"),
        )
        owner.client.use(endpoint)
        await owner.client.list_objects("")

    def server_url(owner: Owner) -> str:
        host = owner.client._current.sender.endpoint
        return f"http://{host.authority}{host.path}"

    server, _ = talk([EMPTY_LIST], switch)
    assert signers(server) == ["AK", "NEW"]
    assert server.connections == 1
    assert server.seen[1].headers["x-amz-security-token"] == "T"


def test_a_new_endpoint_is_used_at_once_and_the_old_ones_connections_are_closed() -> None:
    old, new = ScriptedServer([EMPTY_LIST]), ScriptedServer([error(404, "NoSuchKey")])

    async def main() -> None:
        async with old.running(), new.running():
            client = HttpClient(old.access(), stats=EngineStats())
            await client.list_objects("")
            before = client._current.pool
            client.use(new.access())
            assert before.idle == 0
            with pytest.raises(NoSuchKey):
                await client.head_object("k")
            await client.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))
    assert (len(old.seen), len(new.seen)) == (1, 1)


def test_without_credentials_nothing_is_signed_and_nobody_is_asked_for_keys() -> None:
    server = ScriptedServer([error(403, "InvalidAccessKeyId")])
    asked: list[None] = []

    async def main() -> None:
        async with server.running():
            access = server.access(signed=False)
            client = HttpClient(access, stats=EngineStats(), rejected=lambda: asked.append(None))
            with pytest.raises(AccessDenied):
                await client.list_objects("")
            await client.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))
    assert "authorization" not in server.seen[0].headers
    assert asked == []
