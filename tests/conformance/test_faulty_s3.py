"""An S3 that misbehaves under a real mount: which errno programs get, that no wrong byte is served, that nothing leaks.

The engine tries each request three times, so that a fault which does not end is told within a second; with the ten of
every day it is told within a minute (the slow test at the end). A fault is a rule of the proxy before a real server.
"""

import errno
import itertools
import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.conformance.observed import ObservedProxy, name_of
from tests.conformance.sharing import Place, eventually
from tests.faults import Answer, FaultyProxy, Seen, error, ranged
from tests.servers import MotoServer, S3Server

ATTEMPTS = 3
DATA = random.Random(4).randbytes(300_000)

# A window's GETs at once; connections that S3 left open are kept for the next ones.
CONNECTIONS_MAX = 16

NOTHING_HELD = {"arena_bytes": 0, "open_files": 0, "open_directories": 0}


@dataclass(frozen=True)
class Trouble(Place):
    """A place behind a proxy that a case can spoil."""

    proxy: FaultyProxy
    mounted: ObservedProxy

    def spoil(self, kind: str, answer: Answer | Callable[[Seen], Answer], times: float = float("inf")) -> None:
        """From now on the first so many requests of a kind, at this place, get an answer of ours."""
        left = itertools.count()

        def decide(seen: Seen) -> Answer | None:
            if self.prefix.strip("/") not in seen.target or name_of(seen.method, seen.target) != kind:
                return None
            if next(left) >= times:
                return None
            return answer(seen) if callable(answer) else answer

        self.proxy.decide = decide

    def requests(self, kind: str) -> list[Seen]:
        """What of a kind came for this place."""
        mine = [seen for seen in self.proxy.seen if self.prefix.strip("/") in seen.target]
        return [seen for seen in mine if name_of(seen.method, seen.target) == kind]


@pytest.fixture(scope="module")
def proxy(able_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(able_server.endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def mounted(able_server: S3Server, proxy: FaultyProxy) -> Iterator[tuple[ObservedProxy, str]]:
    """One mount for all cases: what one breaks for good, the next will find."""
    bucket = able_server.bucket()
    with ObservedProxy(proxy, bucket, attempts=ATTEMPTS) as running:
        yield running, bucket


_NUMBERS = itertools.count()


@pytest.fixture
def trouble(able_server: S3Server, proxy: FaultyProxy, mounted: tuple[ObservedProxy, str]) -> Iterator[Trouble]:
    """A place to spoil; when the case is over and S3 well again, the engine must hold no more than before."""
    running, bucket = mounted
    name = f"trouble-{next(_NUMBERS):03}"
    eventually(lambda: _held(running) == NOTHING_HELD)  # the kernel tells of the last case's closed files a bit later
    open_before = _files(running)
    case = Trouble(able_server, bucket, f"{name}/", running.path / name, proxy, running)
    try:
        yield case
    finally:
        proxy.decide = lambda _seen: None
    eventually(lambda: _held(running) == NOTHING_HELD)
    assert _files(running) == open_before
    assert len(running.descriptors()) - len(open_before) <= CONNECTIONS_MAX
    case.put("well", b"again")
    assert (case.path / "well").read_bytes() == b"again"


def _held(mounted: ObservedProxy) -> dict[str, int]:
    counters = mounted.counters()
    return {name: counters[name] for name in ("arena_bytes", "open_files", "open_directories")}


def _files(mounted: ObservedProxy) -> list[str]:
    return [name for name in mounted.descriptors() if not name.startswith("socket:")]


def _errno(attempt: Callable[[], object]) -> int | None:
    """What a program's call fails with; None if it does not fail."""
    try:
        attempt()
    except OSError as failure:
        return failure.errno
    return None


def _right(seen: Seen, **how: object) -> Answer:
    """The right answer to a GET of DATA, spoiled as told."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", seen.headers["range"])
    assert found is not None
    first, last = int(found[1]), int(found[2])
    return ranged(DATA, first, last - first + 1, seen.headers["if-match"], **how)


def _moved(seen: Seen) -> Answer:
    """A range of the right length from elsewhere, and it says so."""
    right = _right(seen)
    first, last, size = re.findall(r"\d+", right.headers["Content-Range"])
    told = {**right.headers, "Content-Range": f"bytes {int(first) + 1}-{int(last) + 1}/{size}"}
    return replace(right, headers=told, body=right.body[::-1])


def _whole(seen: Seen) -> Answer:
    """All of another object, by a server that knows no ranges."""
    return Answer(200, {"ETag": seen.headers["if-match"]}, DATA + b"more")


SPOILED_BODIES: dict[str, Callable[[Seen], Answer]] = {
    "503": lambda _seen: error(503, "SlowDown"),
    "500": lambda _seen: error(500, "InternalError"),
    "503 without a document": lambda _seen: Answer(503),
    "429": lambda _seen: error(429, "TooManyRequests"),
    "reset before the body": lambda seen: _right(seen, cut=0, reset=True),
    "reset in the middle": lambda seen: _right(seen, cut=100_000, reset=True),
    "cut off": lambda seen: _right(seen, cut=100_000),
    "wrong range": _moved,
    "no range": _whole,
}


@pytest.mark.parametrize("fault", SPOILED_BODIES)
def test_a_fault_of_reading_that_passes_is_not_seen(trouble: Trouble, fault: str) -> None:
    """S41: all but the last attempt fail, and the program gets the object's bytes."""
    trouble.put("f", DATA)
    trouble.spoil("GET", SPOILED_BODIES[fault], times=ATTEMPTS - 1)
    assert (trouble.path / "f").read_bytes() == DATA
    assert len(trouble.requests("GET")) == ATTEMPTS


@pytest.mark.parametrize(
    "fault", [fault for fault in SPOILED_BODIES if fault not in ("reset in the middle", "cut off")]
)
def test_a_fault_of_reading_that_stays_is_eio_and_the_next_read_tries_again(trouble: Trouble, fault: str) -> None:
    """S42, S28: no byte is served that S3 did not promise; an open file reads on when S3 is well."""
    trouble.put("f", DATA)
    with (trouble.path / "f").open("rb", buffering=0) as file:
        trouble.spoil("GET", SPOILED_BODIES[fault])
        assert _errno(lambda: file.read(len(DATA))) == errno.EIO
        trouble.proxy.decide = lambda _seen: None
        assert os.pread(file.fileno(), len(DATA), 0) == DATA


@pytest.mark.parametrize("fault", ["reset in the middle", "cut off"])
def test_a_body_that_breaks_off_goes_on_where_it_broke(trouble: Trouble, fault: str) -> None:
    """S41: bytes that came are not asked for twice, and none is missing between."""
    trouble.put("f", DATA)
    trouble.spoil("GET", SPOILED_BODIES[fault])
    assert (trouble.path / "f").read_bytes() == DATA, "each attempt brings 100,000 bytes"
    first_bytes = [int(seen.headers["range"].removeprefix("bytes=").split("-")[0]) for seen in trouble.requests("GET")]
    assert first_bytes[0] == 0
    assert 0 < first_bytes[1] <= 100_000
    assert first_bytes == sorted(first_bytes)


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (error(403, "AccessDenied"), errno.EACCES),
        (error(403, "RequestTimeTooSkewed"), errno.EACCES),
        (error(403, "SignatureDoesNotMatch"), errno.EACCES),
        (error(400, "ExpiredToken"), errno.EACCES),
        (error(403, "InvalidObjectState"), errno.EACCES),
        (error(412, "PreconditionFailed"), errno.ESTALE),
        (error(404, "NoSuchKey"), errno.EIO),
        (error(404, "NoSuchBucket"), errno.EIO),
        (error(416, "InvalidRange"), errno.EIO),
        (error(418, "Teapot"), errno.EIO),
    ],
    ids=lambda value: value.body.decode().split("Code>")[1].strip("</") if isinstance(value, Answer) else "",
)
def test_reading_what_s3_refuses(trouble: Trouble, answer: Answer, number: int) -> None:
    """S40, S42: the name is there, is listed and opened; reading it tells why not."""
    trouble.put("f", DATA)
    before = trouble.mounted.counters()["s3_retries"]
    trouble.spoil("GET", answer)
    assert trouble.names() == ["f"]
    assert (trouble.path / "f").stat().st_size == len(DATA)
    with (trouble.path / "f").open("rb", buffering=0) as file:
        assert _errno(lambda: file.read(10)) == number
    assert trouble.mounted.counters()["s3_retries"] == before, "nothing that is worth another attempt"


def test_another_versions_bytes_are_stale_though_the_server_ignores_if_match(trouble: Trouble) -> None:
    """S24: the answer's own ETag is looked at, too."""
    trouble.put("f", DATA)
    trouble.spoil("GET", lambda seen: replace(_right(seen), headers={**_right(seen).headers, "ETag": '"other"'}))
    assert _errno((trouble.path / "f").read_bytes) == errno.ESTALE


@pytest.mark.parametrize("kind", ["HEAD", "LIST"])
@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (error(503, "SlowDown"), errno.EIO),
        (error(409, "OperationAborted"), errno.EIO),
        (error(403, "AccessDenied"), errno.EACCES),
        (error(403, "RequestTimeTooSkewed"), errno.EACCES),
        (Answer(reset=True, cut=0, body=b"x"), errno.EIO),
    ],
    ids=["503", "409", "403", "clock", "reset"],
)
def test_a_lookup_of_which_one_half_fails_fails(trouble: Trouble, kind: str, answer: Answer, number: int) -> None:
    """S43: nobody can say then what is there, so it is neither missing nor the other half's answer."""
    trouble.put("f", DATA)
    trouble.spoil(kind, answer)
    assert _errno((trouble.path / "f").stat) == number


@pytest.mark.parametrize("kind", ["HEAD", "LIST"])
def test_a_fault_of_a_lookup_that_passes_is_not_seen(trouble: Trouble, kind: str) -> None:
    """S41: a storm of 503 that ends in time."""
    trouble.put("d/f", DATA)
    trouble.spoil(kind, error(503, "SlowDown"), times=ATTEMPTS - 1)
    assert (trouble.path / "d/f").stat().st_size == len(DATA)
    assert (trouble.path / "d/missing").exists() is False


def test_a_head_that_may_not_be_asked_hides_no_directory(trouble: Trouble) -> None:
    """S43: a directory needs ListBucket alone."""
    trouble.put("d/f", DATA)
    trouble.spoil("HEAD", error(403, "AccessDenied"))
    assert (trouble.path / "d").is_dir()
    assert trouble.names("d") == ["f"]


def test_metadata_that_lacks_something_is_no_answer(trouble: Trouble) -> None:
    """S42: a HEAD without a time."""
    trouble.put("f", DATA)
    trouble.spoil("HEAD", Answer(200, {"ETag": '"e"', "Content-Length": "5"}))
    assert _errno((trouble.path / "f").stat) == errno.EIO


NOT_A_LISTING = {
    "not XML": b"<ListBucketResult><Contents>",
    "no listing": b"<html><body>Welcome to the hotel's network</body></html>",
    "nothing": b"",
    "goes on nowhere": b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    "a size that is none": b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
}


@pytest.mark.parametrize("body", NOT_A_LISTING.values(), ids=NOT_A_LISTING)
def test_a_listing_that_is_none_is_an_error_and_no_empty_directory(trouble: Trouble, body: bytes) -> None:
    """S44: a program that copies or deletes what it sees must not see less than there is."""
    for name in "abc":
        trouble.put(name)
    assert trouble.path.is_dir()
    trouble.spoil("LIST", Answer(200, {}, body))
    assert _errno(trouble.names) == errno.EIO
    trouble.proxy.decide = lambda _seen: None
    assert sorted(trouble.names()) == ["a", "b", "c"]


def test_a_listing_whose_body_breaks_off_is_asked_for_again(trouble: Trouble) -> None:
    """S44: and is an error if that does not help."""
    trouble.put("a")
    assert trouble.path.is_dir()
    trouble.spoil("LIST", Answer(200, {}, NOT_A_LISTING["goes on nowhere"], cut=20), times=ATTEMPTS - 1)
    assert trouble.names() == ["a"]
    trouble.spoil("LIST", Answer(200, {}, NOT_A_LISTING["goes on nowhere"], cut=20))
    assert _errno(trouble.names) == errno.EIO


def test_a_listing_that_may_not_be_asked_is_eacces(trouble: Trouble) -> None:
    """S40: without s3:ListBucket."""
    trouble.put("a")
    assert trouble.path.is_dir()
    trouble.spoil("LIST", error(403, "AccessDenied"))
    assert _errno(trouble.names) == errno.EACCES


def test_a_second_page_that_fails_ends_the_listing_with_an_error(trouble: Trouble) -> None:
    """S44: the first page's entries alone would look like all."""
    trouble.put("a")
    trouble.put("b")
    assert trouble.path.is_dir()
    page = (
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents>"
        f"<Key>{trouble.prefix}a</Key><Size>0</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"
        "<ETag>e</ETag></Contents></ListBucketResult>"
    ).encode()
    trouble.spoil("LIST", lambda seen: error(500, "Broken") if "token" in seen.target else Answer(200, {}, page))
    assert _errno(trouble.names) == errno.EIO


def test_others_are_served_while_one_waits_for_slow_headers(trouble: Trouble) -> None:
    """S45: a GET that S3 is slow to begin holds up its own reader alone."""
    trouble.put("slow", DATA)
    trouble.put("quick", DATA[::-1])
    held, go_on = threading.Event(), threading.Event()

    def decide(seen: Seen) -> Answer | None:
        if seen.target.endswith("slow") and seen.method == "GET":
            held.set()
            assert go_on.wait(30)
        return None

    trouble.proxy.decide = decide
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((trouble.path / "slow").read_bytes()))
    reader.start()
    try:
        assert held.wait(30)
        assert (trouble.path / "quick").read_bytes() == DATA[::-1]
        assert sorted(trouble.names()) == ["quick", "slow"]
        assert not read
    finally:
        go_on.set()
        reader.join(30)
    assert read == [DATA]


def test_a_reader_that_is_killed_while_s3_is_silent_leaves_nothing(trouble: Trouble) -> None:
    """S46: it dies at once; the kernel lets go of its file when S3 has answered, or the engine has given up waiting."""
    trouble.put("f", DATA)
    go_on = threading.Event()

    def decide(seen: Seen) -> Answer | None:
        if name_of(seen.method, seen.target) == "GET":
            assert go_on.wait(30)
        return None

    trouble.proxy.decide = decide
    child = os.posix_spawn("/bin/cat", ["cat", str(trouble.path / "f")], os.environ)
    try:
        eventually(lambda: trouble.requests("GET"))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert not go_on.is_set()
    finally:
        go_on.set()


def test_many_failures_leave_no_connection_behind(trouble: Trouble) -> None:
    """S46: sixty reads that fail, each in its own way."""
    trouble.put("f", DATA)
    faults = itertools.cycle(
        [
            error(403, "AccessDenied"),
            error(404, "NoSuchKey"),
            Answer(418, {}, b"x" * 100_000),
            error(416, "InvalidRange"),
        ]
    )
    trouble.spoil("GET", lambda _seen: next(faults))
    with (trouble.path / "f").open("rb", buffering=0) as file:
        for _ in range(60):
            assert _errno(lambda: file.read(10)) in (errno.EACCES, errno.EIO)


def test_what_failed_is_in_the_log_with_all_that_supports_a_question_to_s3(trouble: Trouble) -> None:
    """S47: S3's code, the status, the key and the request's id."""
    trouble.put("f", DATA)
    trouble.spoil("GET", error(403, "AccessDenied"))
    assert _errno((trouble.path / "f").read_bytes) == errno.EACCES
    log = trouble.mounted.logged()
    line = next(line for line in log.splitlines() if f"{trouble.prefix}f: EACCES" in line)
    assert all(word in line for word in ("'AccessDenied'", "status=403", f"key='{trouble.prefix}f'", "'REQ1'"))


@pytest.mark.slow
def test_faults_that_never_end_are_eio_within_a_minute_and_a_half_with_all_attempts(moto: MotoServer) -> None:
    """S42: ten attempts, with waits that double; all faults at once."""
    bucket = moto.bucket()
    with FaultyProxy(moto.endpoint) as proxy, ObservedProxy(proxy, bucket, attempts=10) as mounted:
        for number in range(len(SPOILED_BODIES)):
            moto.put(bucket, f"f{number}", DATA)
        faults = {f"f{number}": fault for number, fault in enumerate(SPOILED_BODIES.values())}

        def decide(seen: Seen) -> Answer | None:
            name = seen.target.rsplit("/", 1)[-1]
            return faults[name](seen) if seen.method == "GET" and name in faults else None

        proxy.decide = decide
        seen: dict[str, int | None] = {}

        def read(name: str) -> None:
            seen[name] = _errno((mounted.path / name).read_bytes)

        readers = [threading.Thread(target=read, args=(name,)) for name in faults]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(90)
        passes = {
            f"f{number}" for number, name in enumerate(SPOILED_BODIES) if name in ("reset in the middle", "cut off")
        }
        assert seen == {name: None if name in passes else errno.EIO for name in faults}
        eventually(lambda: _held(mounted) == NOTHING_HELD)
