"""`mountctl run`: the supervisor, in the foreground. Called by cli.py."""

from pathlib import Path

from mountctl import daemon


def run(config: Path, runtime_dir: Path, state_dir: Path, *, watch: bool, leave_seconds: float | None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code; raises MountctlError when it can't start.

    `leave_seconds`: somebody else runs the FD holder, and the end waits for it so long.
    """
    return daemon.run(config, runtime_dir, state_dir, watch=watch, leave_seconds=leave_seconds)
