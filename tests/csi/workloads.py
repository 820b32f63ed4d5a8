"""Containers of workload pods, for tests: programs in mount namespaces of their own that see a volume and use it.

As a container's runtime does it: what is mounted on the host is not there but for the volume, which is bound in, and
gets what is mounted on the host later (HostToContainer) or does not (None, which is `private`). A reader checks every
byte; a writer notes what became of each file, so that S3 can be looked at afterwards.
"""

import contextlib
import errno
import json
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

from tests.csi.kubelet import Kubelet, Use
from tests.servers import S3Server
from tests.service.programs import CALL
from tests.service.running import WAIT_SECONDS_MAX

HOST_TO_CONTAINER: Final = "slave"
PRIVATE: Final = "private"

# Where a container has its volume.
PLACE: Final = "/mnt"
# Arguments: the volume on the host, where it is to be in the container, kubelet's directory, the program.
_ENTER: Final = 'mount --rbind "$1" "$2" && umount --recursive --lazy "$3" && shift 3 && exec "$@"'

BIG: Final = "big"
BIG_BYTES: Final = 3 << 20
SMALL: Final = tuple(f"small-{number}" for number in range(8))
SMALL_BYTES: Final = 1000
# A file in one piece, one in two parts, and one in several, so that a kill finds them at work.
WRITTEN_BYTES: Final = (100, 300_000, 9_000_000)

# Both programs: a line on stdin is answered when they have gone on since, the end of stdin ends them, and then they
# tell all.
_HEAD: Final = (
    CALL
    + f"""
import contextlib, json, os, random, select, sys
root, seed = sys.argv[1], sys.argv[2]
BIG, BIG_BYTES, SMALL, SMALL_BYTES, SIZES = {BIG!r}, {BIG_BYTES}, {SMALL!r}, {SMALL_BYTES}, {WRITTEN_BYTES!r}
chance = random.Random(seed)

def content(name, size):
    return random.Random(name).randbytes(size)

def asked():
    return bool(select.select([sys.stdin], [], [], 0)[0])

def tell(what):
    print(json.dumps(what), flush=True)
"""
)
_READER: Final = (
    _HEAD
    + """
wrong = []
big, small = content(BIG, BIG_BYTES), {name: content(name, SMALL_BYTES) for name in SMALL}

def read(handle, size, at):
    found = b""
    while len(found) < size and (more := call(os.pread, handle, size - len(found), at + len(found))):
        found += more
    return found

def whole(name):
    handle = call(os.open, os.path.join(root, name), os.O_RDONLY)
    try:
        return read(handle, SMALL_BYTES + 1, 0)
    finally:
        os.close(handle)

def check(name, at, found, right):
    if found != right:
        wrong.append(f"{name} from {at}: {len(found)} bytes {found[:8]}, not {len(right)} bytes {right[:8]}")

def look_at_all():
    os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
    for at in range(0, BIG_BYTES, 1 << 18):
        at += chance.randrange(1 << 17)
        check(BIG, at, read(held, 1 << 16, at), big[at : at + (1 << 16)])
    name = chance.choice(SMALL)
    check(name, 0, whole(name), small[name])
    names = set(call(os.listdir, root))
    if not {BIG, *SMALL} <= names:
        wrong.append(f"a listing without {sorted({BIG, *SMALL} - names)}")
    if call(os.stat, os.path.join(root, BIG)).st_size != BIG_BYTES:
        wrong.append("a wrong size")

held = os.open(os.path.join(root, BIG), os.O_RDONLY)
tell("begun")
rounds = 0
while True:
    due = rounds + 2 if asked() and sys.stdin.readline() else None
    if due is None and asked():
        break
    while True:
        try:
            look_at_all()
        except OSError as error:
            wrong.append(repr(error))
        rounds += 1
        if due is None or rounds >= due:
            break
    if due is not None:
        tell("went on")
tell({"wrong": wrong, "rounds": rounds, "longest": longest})
"""
)
_WRITER: Final = (
    _HEAD
    + """
def write(name, data):
    handle = call(os.open, os.path.join(root, name), os.O_WRONLY | os.O_CREAT)
    try:
        for at in range(0, len(data), 1 << 18):
            piece = data[at : at + (1 << 18)]
            while piece:
                piece = piece[call(os.write, handle, piece) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.close(handle)
        raise
    os.close(handle)

tell("begun")
files, is_due = [], False
while True:
    if not is_due and asked():
        if not sys.stdin.readline():
            break
        is_due = True
    name, size = f"{seed}-{len(files)}", chance.choice(SIZES)
    try:
        write(name, content(name, size))
        files.append((name, size, None))
        if is_due:
            tell("went on")
        is_due = False
    except OSError as error:
        files.append((name, size, error.errno))
tell({"files": files, "longest": longest})
"""
)


def content(name: str, size: int) -> bytes:
    """What a file of that name has."""
    return random.Random(name).randbytes(size)


def fill(server: S3Server, bucket: str) -> None:
    """What readers read."""
    for name, size in ((BIG, BIG_BYTES), *((name, SMALL_BYTES) for name in SMALL)):
        server.put(bucket, name, content(name, size))


class Container:
    """A program in a container. `end` or `kill` it.

    Args:
        kubelet: of its node.
        use: the volume, which is at PLACE for it.
        name: the container's.
        propagation: HOST_TO_CONTAINER or PRIVATE.
        program: in Python; its arguments are PLACE and the name.
    """

    def __init__(self, kubelet: Kubelet, use: Use, name: str, propagation: str, program: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [*_entering(kubelet, use, propagation), sys.executable, "-c", program, PLACE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.hear() == "begun"

    def say(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """The next line that it says."""
        assert self._process.stdout is not None
        # It says one line for each that it is asked for, so none lies in the buffer.
        said, _, _ = select.select([self._process.stdout], [], [], WAIT_SECONDS_MAX)
        assert said, f"{self.name} says nothing for {WAIT_SECONDS_MAX} s"
        line = self._process.stdout.readline()
        assert line, f"{self.name} has ended ({self._process.wait()})"
        return json.loads(line)

    def ask(self) -> Any:
        """What it answers to a line."""
        self.say()
        return self.hear()

    def go_on(self) -> None:
        """Returns when it has gone on since this was called."""
        assert self.ask() == "went on"

    def end(self) -> dict[str, Any]:
        """Have it come to its end; what it tells."""
        told, _ = self._process.communicate(timeout=WAIT_SECONDS_MAX)
        assert self._process.returncode == 0, told
        found: dict[str, Any] = json.loads(told)
        return found

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Reader(Container):
    """Reads what `fill` has made."""

    def __init__(self, kubelet: Kubelet, use: Use, name: str, propagation: str) -> None:
        super().__init__(kubelet, use, name, propagation, _READER)

    def check(self) -> None:
        """End it: it has seen no error and no wrong byte."""
        told = self.end()
        assert told["wrong"] == [], f"{self.name}, in {told['rounds']} rounds"
        assert told["rounds"] > 0


class Writer(Container):
    """Writes files, one after the other, whose names begin with its own."""

    def __init__(self, kubelet: Kubelet, use: Use, name: str, propagation: str) -> None:
        super().__init__(kubelet, use, name, propagation, _WRITER)

    def check(self, server: S3Server, bucket: str) -> int:
        """End it: each file that was closed without an error is whole in S3, and there is no half one. How many failed.

        An engine that died had bytes of the file being written, so that one may fail: loudly, and not as a mount does
        that is gone.
        """
        failed = 0
        for name, size, number in self.end()["files"]:
            found = _object(server, bucket, name)
            assert found == content(name, size) or (number is not None and found is None), (
                f"{name}: {'written' if number is None else errno.errorcode[number]}, {size} bytes, "
                f"and in S3 {'is nothing' if found is None else f'are {len(found)}'}"
            )
            failed += number is not None
            assert number in (None, errno.EIO), f"{name}: {errno.errorcode[number or 0]}"
        return failed


def _object(server: S3Server, bucket: str, key: str) -> bytes | None:
    try:
        data: bytes = server.boto.get_object(Bucket=bucket, Key=key)["Body"].read()
    except server.boto.exceptions.NoSuchKey:
        return None
    return data


@contextlib.contextmanager
def killed_at_the_end(*containers: Container) -> Iterator[None]:
    """No program of a test that has failed stays."""
    try:
        yield
    finally:
        for each in containers:
            each.kill()


def run(kubelet: Kubelet, use: Use, *command: str) -> "subprocess.CompletedProcess[str]":
    """A command in a container of its own, to its end; the volume is at PLACE."""
    return subprocess.run(
        [*_entering(kubelet, use, PRIVATE), *command], capture_output=True, text=True, timeout=WAIT_SECONDS_MAX
    )


def _entering(kubelet: Kubelet, use: Use, propagation: str) -> list[str]:
    return [
        *("unshare", "--mount", "--propagation", propagation, "--"),
        *("sh", "-c", _ENTER, "sh", str(kubelet.target(use)), PLACE, str(kubelet.directory)),
    ]
