"""Engines on a session that somebody else holds: ready, replaced under load, stopped, refused; by run_engine itself."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine import link as links
from engine.link import Access, AccessFailed, ForkEngine, Heartbeat, LinkClosed, Message, Ready, Stop, Unavailable
from engine.spec import MountSpec
from mountctl.supervisor.session import Session
from tests.servers import MotoServer

MESSAGE_SECONDS_MAX: Final = 30.0
EXIT_SECONDS_MAX: Final = 20.0

# In the directory `d` of the bucket.
FILES: Final = 20

# An engine as the zygote's child is: a spec on stdin, the session and the link inherited.
ENGINE: Final = """
import socket, sys
from engine import link, log
from engine.run import run_engine
log.set_up("m")
order = link.decode(sys.stdin.buffer.read())
sys.exit(run_engine(order, int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])))
"""

# Reads all files round after round until stdin is closed; tells each round, and what failed.
_READER: Final = """
import pathlib, select, sys
paths = [pathlib.Path(sys.argv[1], "d", f"f{number}") for number in range(20)]
while not select.select([sys.stdin], [], [], 0)[0]:
    for number, path in enumerate(paths):
        try:
            if path.read_text() != f"content {number}":
                print("wrong", flush=True)
        except OSError as error:
            print(error.errno, flush=True)
    print("round", flush=True)
"""


class Engine:
    """One engine process and our end of its link."""

    def __init__(
        self, session: Session, spec: MountSpec, *, attached: bool = False, log: Path, script: str = ENGINE
    ) -> None:
        order = ForkEngine(
            spec=spec,
            uid=0,
            gid=0,
            init_request=session.init_request.hex(),
            generation=session.generation,
            attached=attached,
            resend=session.generation > 0 and session.has_resend,
        )
        session.generation += 1
        self.link, theirs = links.pair()
        self.link.settimeout(MESSAGE_SECONDS_MAX)
        inherited = (session.fuse_fd, theirs.fileno(), session.journal_fd)
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", script, *map(str, inherited)],
                stdin=subprocess.PIPE,
                stderr=stderr,
                pass_fds=inherited,
            )
        theirs.close()
        assert self.process.stdin is not None
        self.process.stdin.write(links.encode(order))
        self.process.stdin.close()

    def expect(self, kind: type[Message]) -> Message:
        """The next message of a kind; others before it are let by."""
        while True:
            message, _ = links.receive(self.link)
            if isinstance(message, kind):
                return message

    def end(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        return self.process.wait(EXIT_SECONDS_MAX)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.link.close()


class Host:
    """What a supervisor does for one mount."""

    def __init__(self, moto: MotoServer, bucket: str, *, access: Access | None = None, **options: Any) -> None:
        self._access = access or moto.access(bucket, name="m")
        self.bucket = bucket
        self.base = Path(tempfile.mkdtemp(prefix="mountctl-fuse-"))
        self.path = self.base / "mount"
        self.log = self.base / "log"
        self.spec = MountSpec(name="m", bucket=bucket, mountpoint=str(self.path), metadata_ttl=1, **options)
        self.session = Session.create(self.spec)
        self.engines: list[Engine] = []
        self.script = ENGINE

    def start(self, *, attached: bool = False, access: bool = True) -> Engine:
        engine = Engine(self.session, self.spec, attached=attached, log=self.log, script=self.script)
        self.engines.append(engine)
        if access:
            links.send(engine.link, self._access)
        return engine

    def attach(self) -> Engine:
        """The first engine, and the mount in its place."""
        engine = self.start()
        engine.expect(Ready)
        self.session.attach()
        return engine

    def force_unmount(self) -> None:
        """End the session, whatever hangs in it."""
        subprocess.run(["umount", "--force", str(self.path)], check=False)

    def close(self) -> None:
        self.session.detach()
        for engine in self.engines:
            engine.close()
        self.session.close()

    def remove(self) -> None:
        """What is left on the disk."""
        for path in sorted(self.base.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.base.rmdir()


@pytest.fixture
def host(moto: MotoServer) -> Iterator[Host]:
    bucket = moto.bucket()
    for number in range(FILES):
        moto.put(bucket, f"d/f{number}", f"content {number}".encode())
    with contextlib.closing(Host(moto, bucket)) as found:
        yield found
    found.remove()


def test_an_engine_says_ready_serves_beats_and_stops_with_0(host: Host) -> None:
    engine = host.attach()

    assert (host.path / "d/f3").read_text() == "content 3"
    deadline = time.monotonic() + MESSAGE_SECONDS_MAX
    while True:
        beat = engine.expect(Heartbeat)
        assert isinstance(beat, Heartbeat)
        if beat.stats.bytes_read:
            break
        assert time.monotonic() < deadline
    assert beat.backend.reachable is True
    assert beat.stats.fuse_requests["lookup"] >= 2
    assert beat.stats.s3_requests["GetObject"] == 1
    links.send(engine.link, Stop())
    assert engine.end() == 0


def test_an_unmounted_engine_exits_with_0(host: Host) -> None:
    engine = host.attach()
    host.session.detach()
    os.close(host.session.fuse_fd)
    host.session.fuse_fd = -1

    assert engine.end() == 0


def test_an_engine_whose_supervisor_is_gone_exits_with_4(host: Host) -> None:
    engine = host.attach()
    engine.link.close()

    assert engine.end() == 4


def test_an_engine_that_is_stuck_ends_by_itself_and_says_where(host: Host) -> None:
    """Nobody may be there to see it: its supervisor is gone as well."""
    stuck = "import engine.run, engine.fs.filesystem as f\nengine.run.STUCK_SECONDS_MAX = 1.5\n"
    stuck += "def getting_nowhere(*_):\n    while True: pass\nf.S3Filesystem.lookup = getting_nowhere\n"
    host.script = stuck + ENGINE
    engine = host.attach()
    program = subprocess.Popen(["stat", host.path / "d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert engine.end() == 1
    finally:
        host.force_unmount()
        program.wait(EXIT_SECONDS_MAX)
    assert "getting_nowhere" in host.log.read_text()


def test_engines_killed_under_load_are_replaced_and_readers_see_no_error(host: Host) -> None:
    engine = host.attach()
    if not host.session.has_resend:
        pytest.skip("this kernel does not resend requests (Linux 6.9)")
    # Not in this process: its next fork would close the readers' files, and wait for an engine that is not there yet.
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(host.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    said: list[str] = []
    try:
        for _ in range(3):
            rounds = said.count("round") + 2
            while said.count("round") < rounds:
                line = reader.stdout.readline()
                assert line, "the reader ended"
                said.append(line.strip())
            engine.process.send_signal(signal.SIGKILL)
            engine.process.wait()
            engine = host.start(attached=True)
            engine.expect(Ready)
        reader.stdin.close()
        said += reader.stdout.read().split()
        assert reader.wait(EXIT_SECONDS_MAX) == 0
    finally:
        host.force_unmount()  # if nobody serves, only the end of the session frees the reader
        reader.kill()
        reader.wait()
        reader.stdout.close()
    assert set(said) == {"round"}


def test_a_file_read_before_an_engine_died_is_read_again_from_the_kernels_pages(host: Host) -> None:
    """S25: the successor is asked for files, and for bytes only where the kernel has dropped a page meanwhile."""
    engine = host.attach()
    contents = {host.path / f"d/f{number}": f"content {number}".encode() for number in range(FILES)}
    for path, content in contents.items():
        assert path.read_bytes() == content
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    engine = host.start(attached=True)
    engine.expect(Ready)

    for path, content in contents.items():
        assert path.read_bytes() == content
    asked: dict[str, int] = {}
    while asked.get("open", 0) < FILES:
        beat = engine.expect(Heartbeat)
        assert isinstance(beat, Heartbeat)
        asked = beat.stats.fuse_requests
    assert asked["open"] == FILES
    assert asked.get("read", 0) < FILES / 2


def test_a_mount_that_cannot_be_had_is_refused_with_the_reason_and_3(moto: MotoServer) -> None:
    host = Host(moto, "no-such-bucket-here")
    with contextlib.closing(host):
        engine = host.start()
        refusal = engine.expect(Unavailable)
        assert isinstance(refusal, Unavailable)
        assert "bucket 'no-such-bucket-here' does not exist" in refusal.reason
        assert refusal.status == 404
        assert engine.end() == 3
    host.log.unlink()
    host.base.rmdir()


def test_without_credentials_a_new_mount_is_refused_and_an_attached_one_waits(host: Host) -> None:
    failed = AccessFailed(name="m", reason="profile 'x' is not there")
    engine = host.start(access=False)
    links.send(engine.link, failed)
    refusal = engine.expect(Unavailable)
    assert isinstance(refusal, Unavailable)
    assert refusal.reason == failed.reason
    assert engine.end() == 3

    waiting = host.start(attached=True, access=False)
    links.send(waiting.link, failed)
    beat = waiting.expect(Heartbeat)
    assert isinstance(beat, Heartbeat)
    links.send(waiting.link, host._access)
    waiting.expect(Ready)
    links.send(waiting.link, Stop())
    assert waiting.end() == 0


def test_a_supervisor_that_does_not_read_its_link_does_not_hold_an_engine_up(host: Host) -> None:
    engine = host.attach()
    engine.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for number in range(20):
        assert (host.path / f"d/f{number}").read_text() == f"content {number}"
    links.send(engine.link, Stop())
    assert engine.end() == 0
    with pytest.raises(LinkClosed):
        engine.expect(Unavailable)
