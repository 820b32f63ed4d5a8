"""Programs that hold on to a mount in other ways than by an open file: each goes on when whatever serves it dies."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.servers import MotoServer
from tests.service.programs import fill
from tests.service.running import Running, poll_until

# Each answers a line on its stdin with `good`, or with what is wrong.
_HEAD: Final = """
import ctypes, mmap, os, sys
root = sys.argv[1]
content = bytes(range(256)) * 12 * 1024
def answer(look):
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            print("good" if look() else "wrong", flush=True)
        except Exception as error:
            print(repr(error), flush=True)
"""
_PROGRAMS: Final = {
    "a working directory": """
os.chdir(os.path.join(root, "d"))
answer(lambda: open("f1").read() == "content 1" and len(os.listdir(".")) == 10 and os.path.basename(os.getcwd()) == "d")
""",
    "a file that is mapped": """
handle = os.open(os.path.join(root, "big"), os.O_RDONLY)
pages = mmap.mmap(handle, len(content), prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
def look():
    pages.madvise(mmap.MADV_DONTNEED)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    return pages[:] == content
answer(look)
""",
    "a directory that is watched": """
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.inotify_init1(os.O_NONBLOCK)
IN_CREATE = 0x100
assert libc.inotify_add_watch(watch, os.path.join(root, "d").encode(), IN_CREATE) > 0
made = 0
def look():
    global made
    made += 1
    with open(os.path.join(root, "d", f"new{made}"), "w") as out:
        out.write("x")
    seen = os.read(watch, 4096)
    os.unlink(os.path.join(root, "d", f"new{made}"))
    return f"new{made}".encode() in seen
answer(look)
""",
    "an open directory": """
handle = os.open(os.path.join(root, "d"), os.O_RDONLY | os.O_DIRECTORY)
def look():
    with os.scandir(handle) as found:
        names = {entry.name for entry in found}
    inner = os.open("f2", os.O_RDONLY, dir_fd=handle)
    try:
        return len(names) == 10 and os.read(inner, 100) == b"content 2"
    finally:
        os.close(inner)
answer(look)
""",
}


class Program:
    """One that answers."""

    def __init__(self, command: list[str], name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._hear("ready")

    def look(self) -> None:
        """Have it look whether all is well."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._hear("good")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == word, f"{self.name}: {said or self._process.communicate()[1]}"


@contextlib.contextmanager
def programs(mountpoint: Path, work: Path) -> Iterator[Callable[[], None]]:
    """All of them, at work; gives what has each look. Also by a bind mount, and from another namespace of mounts."""
    bound = work / "bound"
    bound.mkdir()
    with contextlib.ExitStack() as stack:
        subprocess.run(["mount", "--bind", mountpoint, bound], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", bound], check=True)
        started = []
        for name, text in _PROGRAMS.items():
            command = [sys.executable, "-c", _HEAD + text]
            started.append(Program([*command, str(mountpoint)], name))
            stack.callback(started[-1].close)
        beside = _HEAD + _PROGRAMS["an open directory"]
        started.append(Program([sys.executable, "-c", beside, str(bound)], "a bind mount"))
        stack.callback(started[-1].close)
        away = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", beside, str(mountpoint)]
        started.append(Program(away, "another namespace of mounts"))
        stack.callback(started[-1].close)
        tail = subprocess.Popen(["tail", "-f", mountpoint / "d" / "f3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stack.callback(tail.communicate)
        stack.callback(tail.kill)
        assert tail.stdout is not None
        assert tail.stdout.read(9) == b"content 3"

        def look() -> None:
            for program in started:
                program.look()
            assert tail.poll() is None

        look()
        yield look


def kill_engine(running: Running) -> None:
    before = running.mount("m")["engine"]
    os.kill(before["pid"], signal.SIGKILL)
    poll_until(lambda: running.mount("m")["engine"]["takeovers"] > before["takeovers"], "another engine")


def hand_over(running: Running) -> None:
    assert running.run("restart", "m").stdout == "m: restarted\n"


def kill_supervisor(running: Running) -> None:
    assert running.process is not None
    running.process.kill()
    running.process.wait()
    running.start()
    running.wait_for_states("ready")


def kill_both(running: Running) -> None:
    pid = running.mount("m")["engine"]["pid"]
    assert running.process is not None
    running.process.kill()
    running.process.wait()
    os.kill(pid, signal.SIGKILL)
    running.start()
    running.wait_for_states("ready")


@pytest.mark.parametrize("event", [kill_engine, hand_over, kill_supervisor, kill_both])
def test_programs_that_hold_on_to_a_mount_go_on_when_what_serves_it_changes(
    running: Running, moto: MotoServer, event: Callable[[Running], None]
) -> None:
    bucket = moto.bucket()
    fill(moto, bucket)
    running.configure(moto, m={"bucket": bucket, "allow-delete": True})
    with running.running(), programs(running.mountpoint("m"), running.work) as look:
        for _ in range(2):
            event(running)
            look()
