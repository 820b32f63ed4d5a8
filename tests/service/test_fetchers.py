"""A mount with fetcher processes: what programs read, and what happens when one of all these processes dies."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults import Answer, FaultyProxy, Seen, error
from tests.servers import MotoServer
from tests.service.programs import Writer
from tests.service.running import Running, gone, poll_until

SIZE: Final = 6 << 20
CONTENT: Final = random.Random("large").randbytes(SIZE)
MOUNT: Final[dict[str, Any]] = {"fetchers": 2}

# Until its stdin is closed: reads a file from start to end, again and again, and hardly ever from the page cache.
# Opened anew each time: of one that stays open and is read so often the engine keeps all, and asks nobody (S141).
_SCANNER: Final = """
import os, random, select, sys
content = random.Random("large").randbytes(int(sys.argv[2]))
rounds = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    file = os.open(sys.argv[1], os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    for at in range(0, len(content), 1 << 20):
        assert os.pread(file, 1 << 20, at) == content[at : at + (1 << 20)], f"round {rounds}: wrong bytes at {at}"
    os.close(file)
    rounds += 1
    print(rounds, flush=True)
"""


class Scanner:
    """A program that reads a large file and checks every byte."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCANNER, str(path), str(SIZE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._rounds = 0
        self._hearer = threading.Thread(target=self._hear)
        self._hearer.start()

    def read_on(self, rounds: int = 2) -> None:
        """Wait until it has read the file so often; the first of these rounds may have begun before."""
        enough = self._rounds + rounds

        def look() -> bool:
            assert self._process.stderr is not None
            assert self._process.poll() is None, self._process.stderr.read()
            return self._rounds >= enough

        poll_until(look, f"{rounds} more rounds")

    def end(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._hearer.join()
        self._process.communicate()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._rounds = int(line)


@contextlib.contextmanager
def scanning(mountpoint: Path) -> Iterator[Scanner]:
    scanner = Scanner(mountpoint / "large")
    try:
        yield scanner
    finally:
        scanner.end()


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    made = moto.bucket()
    moto.put(made, "large", CONTENT)
    return made


def children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def spawner(running: Running) -> int:
    """The process that forks an engine's fetchers."""
    (found,) = children(running.mount("m")["engine"]["pid"])
    return found


def fetchers(running: Running) -> list[int]:
    return children(spawner(running))


def all_there(running: Running) -> list[int]:
    poll_until(lambda: running.mount("m")["stats"]["fetchers"] == 2, "two fetchers")
    return fetchers(running)


def descriptors(pid: int) -> list[str]:
    files = {int(file.name): os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}
    return [files[number] for number in sorted(files)]


def test_what_fetchers_read_is_right_and_counted_and_they_hold_nothing_but_memory_and_sockets(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    with FaultyProxy(moto.endpoint) as server:
        running.configure(server.endpoint, m={"bucket": bucket} | MOUNT)
        with running.running():
            with scanning(running.mountpoint("m")) as scanner:
                scanner.read_on()
                all_there(running)
                scanner.read_on()
            names = [Path(f"/proc/{pid}/comm").read_text() for pid in [spawner(running), *fetchers(running)]]
            assert names == ["s3:m/0\n", "s3:m/1\n", "s3:m/2\n"]
            for pid in fetchers(running):
                others = [file for file in descriptors(pid) if not re.match(r"socket:|anon_inode:\[eventpoll\]", file)]
                assert others[3:] == ["/memfd:mountctl-arena (deleted)"]  # behind stdin, stdout and stderr
            assert [file.split(":")[0] for file in descriptors(spawner(running))[3:]] == ["socket"]
            counted = poll_until(lambda: settled(running, server), "counters to agree with the server's")
            # What was under way at the end is called off. (How much is asked for is the kernel's business: it may keep
            # pages that it was told to drop.)
            assert counted["s3_bytes_received"] >= asked_for(server) - SIZE


def asked_for(server: FaultyProxy) -> int:
    """Bytes of objects."""
    ranges = [
        seen.headers["range"].removeprefix("bytes=").split("-") for seen in server.seen if "range" in seen.headers
    ]
    return sum(int(last) + 1 - int(first) for first, last in ranges)


def settled(running: Running, server: FaultyProxy) -> dict[str, Any]:
    """The counters, if they are what the server has seen; GETs are those of listings, too."""
    seen = Counter(request.method for request in server.seen)
    stats: dict[str, Any] = running.mount("m")["stats"]
    requests = stats["s3_requests"]
    return stats if requests["GetObject"] + requests["ListObjectsV2"] == seen["GET"] else {}


def test_a_fetcher_that_is_killed_or_stopped_is_noticed_by_no_program(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    """S130: fetchers that die or hang cost programs time, and nothing else."""
    running.configure(moto, m={"bucket": bucket} | MOUNT)
    with running.running(), scanning(running.mountpoint("m")) as scanner:
        scanner.read_on()
        one, two = all_there(running)
        os.kill(one, signal.SIGKILL)
        scanner.read_on()
        poll_until(lambda: gone(one), "it to be gone")
        os.kill(two, signal.SIGSTOP)
        scanner.read_on()
        poll_until(lambda: gone(two), "the stopped one to be given up")  # half a minute after `one` there are others
        os.kill(spawner(running), signal.SIGKILL)
        scanner.read_on()
        assert running.mount("m")["engine"]["takeovers"] == 0
        assert running.mount("m")["state"] == "ready"
    log = running.log_text()
    assert "WARNING m: a fetcher is gone: it has died" in log
    assert "WARNING m: a fetcher is gone: it does not answer" in log


def test_fetchers_end_with_their_engine_and_the_next_one_has_others(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    """S130: a session never waits for the fetchers of an engine that is gone."""
    running.configure(moto, m={"bucket": bucket} | MOUNT)
    with running.running(), scanning(running.mountpoint("m")) as scanner, contextlib.ExitStack() as stack:
        writer = Writer(running.mountpoint("m") / "new", 20)
        stack.callback(writer.close)
        scanner.read_on()
        before = [spawner(running), *all_there(running)]
        writer.go_on(9)
        assert running.run("restart", "m").stdout == "m: restarted\n"
        assert all(gone(pid) for pid in before)
        scanner.read_on()
        writer.finish()
        assert moto.boto.get_object(Bucket=bucket, Key="new")["Body"].read() == writer.content

        before = [spawner(running), *all_there(running)]
        os.kill(running.mount("m")["engine"]["pid"], signal.SIGKILL)
        poll_until(lambda: all(gone(pid) for pid in before), "its fetchers to end")
        scanner.read_on()
        assert running.mount("m")["engine"]["takeovers"] == 1
        assert not set(before) & {spawner(running), *all_there(running)}
    assert "a fetcher is gone" not in running.log_text()


def test_new_keys_reach_fetchers_while_they_read(running: Running, moto: MotoServer, bucket: str) -> None:
    del running.environment["AWS_ACCESS_KEY_ID"], running.environment["AWS_SECRET_ACCESS_KEY"]
    file, revoked = running.work / "aws-config", set[str]()
    running.environment["AWS_CONFIG_FILE"] = str(file)

    def keys(name: str) -> None:
        file.with_suffix(".new").write_text(
            f"[profile p]\nregion = us-east-1\naws_access_key_id = {name}\naws_secret_access_key = test\n"
        )
        file.with_suffix(".new").rename(file)

    def signer(seen: Seen) -> str:
        return seen.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]

    def decide(seen: Seen) -> Answer | None:
        return error(403, "InvalidAccessKeyId") if signer(seen) in revoked else None

    with FaultyProxy(moto.endpoint, decide) as server:
        keys("OLD")
        running.configure(server.endpoint, m={"bucket": bucket, "profile": "p"} | MOUNT)
        with running.running(), scanning(running.mountpoint("m")) as scanner:
            scanner.read_on()
            before = all_there(running)
            keys("NEW")
            poll_until(lambda: signer(server.seen[-1]) == "NEW", "the new keys to be used")
            scanner.read_on()
            revoked.add("OLD")
            scanner.read_on()
            assert fetchers(running) == before
            assert running.mount("m")["stats"]["s3_errors"] == {}
