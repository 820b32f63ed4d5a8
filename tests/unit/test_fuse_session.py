"""The process's one session before it begins and after its end."""

import subprocess
import sys


def test_being_told_to_stop_when_there_is_no_session_is_no_end_of_the_process() -> None:
    """As it is while what was closed is still being uploaded. In C, nothing is caught."""
    code = "from engine.fuse import session; session.stop(); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n")
