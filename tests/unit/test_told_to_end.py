"""ToldToEnd: a process hears of its end at any moment."""

import subprocess
import sys

import pytest

from tests.service.running import WAIT_SECONDS_MAX

_PROGRAM = """
import os, signal, sys
from mountctl.told_to_end import ToldToEnd
asked = ToldToEnd()
for _ in range(int(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGTERM)
print(asked.wait(0), asked.wait(), flush=True)
"""


@pytest.mark.parametrize("times", [1, 100_000])
def test_a_signal_before_the_wait_is_heard_however_often_it_comes(times: int) -> None:
    program = [sys.executable, "-c", _PROGRAM, str(times)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        told, _ = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert told == "True True\n"
    assert process.returncode == 0
