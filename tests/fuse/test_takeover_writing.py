"""Engines that die while programs write, make and remove; and what the kernel then asks their successors again."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from engine import link as links
from engine.link import Ready, Stop
from tests.faults import Answer, FaultyProxy, Seen
from tests.fuse.test_takeover import ENGINE, EXIT_SECONDS_MAX, Engine, Host
from tests.servers import MotoServer

MiB = 1024 * 1024
WAIT_SECONDS_MAX: Final = 30.0

# A program that does what it is told, line by line, and says what came of it. Not this process: its next fork would
# close what is open on the mount, and wait for an engine that is not there yet.
_PROGRAM: Final = """
import errno, os, pathlib, sys
os.chdir(sys.argv[1])
for line in sys.stdin:
    try:
        print(eval(line), flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
"""

# An engine that kills itself when it has written down what it did as often as the file `left` says.
_DYING: Final = (
    """
import os, signal
from engine.fs.ledger import Ledger
flush = Ledger.flush
def dying(self):
    happened = bool(self._records)
    flush(self)
    if happened and os.path.exists(LEFT):
        left = int(open(LEFT).read()) - 1
        open(LEFT, "w").write(str(left))
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
Ledger.flush = dying
"""
    + ENGINE
)

NEVER: Final = Answer(never=True)
DONE_AND_NEVER: Final = Answer(never=True, done=True)


class Program:
    """Another process on the mount."""

    def __init__(self, host: Host) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(host.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, call: str) -> None:
        """Make a call, and don't wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(call + "\n")
        self._process.stdin.flush()

    def said(self) -> str:
        """What came of the oldest call."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __call__(self, call: str) -> str:
        self.begin(call)
        return self.said()

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(EXIT_SECONDS_MAX)

    def kill(self) -> None:
        self._process.kill()


class Crashing:
    """A mount whose engines die, before an S3 that may keep an answer back."""

    def __init__(self, moto: MotoServer) -> None:
        self.moto = moto
        self.bucket = moto.bucket()
        self.kept_back: dict[str, Answer] = {}  # by the beginning of "METHOD TARGET"
        self.seen: list[str] = []
        self.proxy = FaultyProxy(moto.endpoint, self._decide)

    def _decide(self, seen: Seen) -> Answer | None:
        asked = f"{seen.method} {seen.target}"
        for start, answer in self.kept_back.items():
            if asked.startswith(start):
                self.seen.append(start)
                return answer
        return None

    def begin(self, **options: object) -> None:
        access = self.moto.access(self.bucket, name="m")
        access = access.model_copy(update={"endpoint": f"{self.proxy.endpoint}/{self.bucket}"})
        self.host = Host(self.moto, self.bucket, access=access, allow_delete=True, allow_overwrite=True, **options)
        self.engine: Engine = self.host.attach()
        if not self.host.session.has_resend:
            pytest.skip("this kernel does not resend requests (Linux 6.9)")
        self.program = Program(self.host)

    def crash(self, script: str = ENGINE) -> Ready:
        """The engine dies; its successor finds an S3 that answers."""
        self.engine.process.kill()
        self.engine.process.wait()
        self.kept_back.clear()
        self.host.script = script.replace("LEFT", repr(str(self.host.base / "left")))
        self.engine = self.host.start(attached=True)
        ready = self.engine.expect(Ready)
        assert isinstance(ready, Ready)
        return ready

    def keep_back(self, start: str, answer: Answer) -> None:
        method, _, name = start.partition(" ")
        self.kept_back[f"{method} /{self.bucket}/{name}"] = answer

    def wait_until_kept_back(self) -> None:
        until(lambda: bool(self.seen), "the request")

    def keys(self) -> list[str]:
        found = self.moto.boto.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [entry["Key"] for entry in found]

    def uploads(self) -> list[str]:
        found = self.moto.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [entry["Key"] for entry in found]

    def content(self, key: str) -> bytes:
        body: bytes = self.moto.boto.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_SECONDS_MAX} s for {what}"
        time.sleep(0.01)


@pytest.fixture
def crashing(moto: MotoServer) -> Iterator[Crashing]:
    found = Crashing(moto)
    with found.proxy:
        found.begin()
        try:
            yield found
            found.program.end()
        finally:
            found.host.force_unmount()  # if nobody serves, only the end of the session frees the program
            found.program.kill()
            found.host.close()
            found.host.remove()


def test_a_writer_hears_of_the_crash_and_nothing_of_its_file_stays(crashing: Crashing) -> None:
    """S79: new files, small and large, and an object that was to be replaced."""
    crashing.moto.put(crashing.bucket, "old", b"as it was")
    program = crashing.program
    for name in ("small", "large", "old"):
        assert program(f"globals().update({name}=os.open('{name}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC))") == "None"
    assert program("os.write(small, b'half')") == "4"
    assert program("os.write(old, b'half')") == "4"
    assert program(f"os.write(large, bytes({9 * MiB}))") == str(9 * MiB)
    # A part has the upload's number, so the engine has had the answer by then. (What was begun and not answered is
    # looked for by its date, and moto's uploads are all of 2010.)
    until(lambda: any("partNumber=1" in seen.target for seen in crashing.proxy.seen), "the multipart upload")
    assert crashing.uploads() == ["large"]

    crashing.crash()

    for name in ("small", "large", "old"):
        calls = [f"os.write({name}, b'x')", f"os.fsync({name})", f"os.close(os.dup({name}))", f"os.close({name})"]
        assert [program(call) for call in calls] == ["EIO"] * 4
    assert program("os.listdir()") == "['old']"
    assert program("open('old').read()") == "as it was"
    assert program("open('small', 'x').write('again')") == "5"
    assert crashing.keys() == ["old", "small"]
    until(lambda: not crashing.uploads(), "the abort")


def test_what_is_in_s3_already_is_closed_without_an_error(crashing: Crashing) -> None:
    program = crashing.program
    program("globals().update(f=os.open('f', os.O_WRONLY | os.O_CREAT))")
    program("os.write(f, b'whole')")
    assert program("os.fsync(f)") == "None"

    crashing.crash()

    assert [program(call) for call in ("os.write(f, b'x')", "os.fsync(f)", "os.close(f)")] == ["EIO", "None", "None"]
    assert program("open('f').read()") == "whole"


@pytest.mark.parametrize(("method", "size"), [("PUT", 10), ("POST", 9 * MiB)])
@pytest.mark.parametrize("done", [True, False])
def test_a_close_that_was_not_answered_succeeds_only_if_the_object_is_there(
    crashing: Crashing, method: str, size: int, done: bool
) -> None:
    """S79: a close or fsync that the crash left unanswered."""
    crashing.moto.put(crashing.bucket, "f", b"as it was")
    program = crashing.program
    program("globals().update(f=os.open('f', os.O_WRONLY | os.O_TRUNC))")
    assert program(f"os.write(f, bytes({size}))") == str(size)
    crashing.keep_back(f"{method} f?uploadId" if method == "POST" else "PUT f", DONE_AND_NEVER if done else NEVER)
    program.begin("os.close(f)")
    crashing.wait_until_kept_back()
    if done:
        until(lambda: crashing.content("f") == bytes(size), "the object")

    crashing.crash()

    assert program.said() == ("None" if done else "EIO")
    assert crashing.content("f") == (bytes(size) if done else b"as it was")
    assert crashing.uploads() == []


def test_names_that_are_here_only_stay(crashing: Crashing) -> None:
    """S81: a directory and a file."""
    program = crashing.program
    program("os.mkdir('d')")
    program("os.mknod('d/f')")

    crashing.crash()

    assert program("sorted(os.listdir()), os.listdir('d')") == "(['d'], ['f'])"
    assert program("open('d/f', 'w').write('text')") == "4"
    assert crashing.content("d/f") == b"text"


@pytest.mark.parametrize("answer", [DONE_AND_NEVER, NEVER])
def test_deleting_what_was_being_deleted_succeeds(crashing: Crashing, answer: Answer) -> None:
    crashing.moto.put(crashing.bucket, "f", b"x")
    crashing.keep_back("DELETE f", answer)
    crashing.program.begin("os.unlink('f')")
    crashing.wait_until_kept_back()

    crashing.crash()

    assert crashing.program.said() == "None"
    assert crashing.program("os.listdir()") == "[]"
    assert crashing.keys() == []


# Each with how many times something is written down before the engine dies, and is not answered.
@pytest.mark.parametrize(
    ("before", "call", "times", "said", "left"),
    [
        ("None", "os.mkdir('d')", 1, "None", ["d"]),
        ("None", "os.mknod('f')", 1, "None", ["f"]),
        ("None", "pathlib.Path('f').write_bytes(b'text')", 1, "4", ["f"]),  # CREATE
        ("os.mknod('f')", "pathlib.Path('f').write_bytes(b'text')", 1, "4", ["f"]),  # OPEN
        ("None", "pathlib.Path('f').write_bytes(b'text')", 2, "EIO", []),  # FLUSH, before the object is made
        ("None", "pathlib.Path('f').write_bytes(b'text')", 3, "4", ["f"]),  # FLUSH, after that
        ("os.mknod('f')", "os.unlink('f')", 1, "None", []),
        ("os.mkdir('d')", "os.rmdir('d')", 1, "None", []),
    ],
)
def test_a_request_that_was_done_and_not_answered_may_come_again(
    crashing: Crashing, before: str, call: str, times: int, said: str, left: list[str]
) -> None:
    """S81: each kind of request."""
    crashing.crash(_DYING)
    assert crashing.program(before) == "None"
    (crashing.host.base / "left").write_text(str(times))
    crashing.program.begin(call)
    crashing.engine.end()

    crashing.crash()

    assert crashing.program.said() == said
    assert crashing.program("os.listdir()") == str(left)


def test_a_log_names_what_was_lost(crashing: Crashing) -> None:
    program = crashing.program
    program("globals().update(f=os.open('lost', os.O_WRONLY | os.O_CREAT))")
    program("os.write(f, b'half')")

    crashing.crash()

    assert "which are not uploaded: 'lost'" in crashing.host.log.read_text()
    assert program("os.close(f)") == "EIO"


def test_what_an_engine_served_when_it_died_is_told(crashing: Crashing) -> None:
    for name in ("d/poison", "other"):
        crashing.moto.put(crashing.bucket, name, b"x" * MiB)
    other = Program(crashing.host)
    crashing.keep_back("GET d/poison", NEVER)
    crashing.keep_back("HEAD nowhere", NEVER)
    crashing.program.begin("len(open('d/poison').read())")
    crashing.wait_until_kept_back()
    other.begin("os.path.exists('nowhere')")
    until(lambda: len(crashing.seen) > 1, "the second request")
    assert crashing.program is not other

    ready = crashing.crash()

    assert ready.served_before[0] == f"lookup of s3://{crashing.bucket}/nowhere"
    assert set(ready.served_before[1:]) == {f"read of s3://{crashing.bucket}/d/poison"}
    assert f"died while it served: {ready.served_before[0]}" in crashing.host.log.read_text()
    assert (crashing.program.said(), other.said()) == (str(MiB), "False")
    other.end()
    assert crashing.crash().served_before == ()


def test_an_engine_that_is_stopped_completes_what_was_closed_and_names_what_is_open(crashing: Crashing) -> None:
    program = crashing.program
    for name in ("closed", "open"):
        program(f"globals().update({name}=os.open('{name}', os.O_WRONLY | os.O_CREAT))")
    assert program("os.close(os.dup(closed))") == "None"
    assert program("os.write(open, b'half')") == "4"
    links.send(crashing.engine.link, Stop())
    assert crashing.engine.end() == 0

    assert crashing.keys() == ["closed"]
    assert "'open' was being written when the engine stopped: it is not uploaded" in crashing.host.log.read_text()
    crashing.crash()
    assert (program("os.close(closed)"), program("os.close(open)")) == ("None", "EIO")


def test_an_engine_that_is_stopped_waits_for_an_upload_no_longer_than_it_is_told(crashing: Crashing) -> None:
    program = crashing.program
    program("globals().update(f=os.open('f', os.O_WRONLY | os.O_CREAT))")
    assert program("os.write(f, b'whole')") == "5"
    crashing.keep_back("PUT f", NEVER)
    program.begin("os.close(f)")
    crashing.wait_until_kept_back()
    links.send(crashing.engine.link, Stop(seconds=0.2))
    assert crashing.engine.end() == 0

    assert "'f' was being written when the engine stopped: it is not uploaded" in crashing.host.log.read_text()
    crashing.crash()
    assert program.said() == "EIO"
