"""Standard error that nobody reads: whoever writes to it goes on, and says later what is missing."""

import fcntl
import os
import socket
import subprocess
import sys
from typing import Final

_PROGRAM_SECONDS_MAX: Final = 30.0
_PIPE_BYTES: Final = 4096

# Logs without end to a stderr that is full, by Python and by C; tells that it got through; logs again when asked to.
_PROGRAM: Final = """
import ctypes, logging, subprocess, sys
from engine import stderr
stderr.unblock()
logging.basicConfig(stream=sys.stderr, format="%(message)s")
for number in range(1000):
    logging.warning("line %d", number)
ctypes.CDLL(None).perror(b"from C")
subprocess.run([sys.executable, "-c", "import os; os.write(1, b'child ')"], check=True, stdout=1)
print("done", flush=True)
input()
logging.warning("again")
"""


def run(stderr_fd: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr_fd
    )


def assert_gets_through(program: "subprocess.Popen[bytes]", reader: int) -> str:
    """It has not waited; what it says once there is a reader."""
    assert program.stdout is not None
    assert program.stdout.readline() == b"child done\n"
    first = os.read(reader, 1 << 20)
    program.communicate(b"\n", timeout=_PROGRAM_SECONDS_MAX)
    assert program.returncode == 0
    return (first + os.read(reader, 1 << 20)).decode()


def test_a_full_pipe_holds_nobody_up_and_what_is_missing_is_told() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    said = assert_gets_through(run(writer), reader)

    assert said.startswith("line 0\nline 1\n")
    assert "lines of this process are missing here" in said
    assert said.endswith("again\n")
    assert os.get_blocking(writer)  # others who have it are not concerned
    os.close(reader)
    os.close(writer)


def test_a_socket_that_nobody_reads_such_as_journalds_holds_nobody_up() -> None:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_BYTES)

    said = assert_gets_through(run(theirs.fileno()), ours.fileno())

    assert said.startswith("line 0\nline 1\n")
    assert said.endswith("again\n")
    ours.close()
    theirs.close()
