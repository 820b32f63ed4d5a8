"""`mountctl iam-policy` against a server that asks for leave: a mount has what it needs by it, and nothing too much."""

import contextlib
import json
import os
from pathlib import Path
from typing import Final

import pytest

from mountctl.iam_policy import ABORT, ACTIONS_OF, DELETE, GET, LIST_UPLOADS, PUT
from tests.service.guarded import Guarded
from tests.service.running import Running, poll_until

MIB = 1 << 20


def _declare(running: Running, guarded: Guarded) -> set[str]:
    """A mount that may do everything; the actions of the policy that is printed for it."""
    running.environment |= {"AWS_ACCESS_KEY_ID": guarded.access_key, "AWS_SECRET_ACCESS_KEY": guarded.secret_key}
    running.configure(
        guarded.server,
        a={"bucket": guarded.bucket, "prefix": "p/", "allow_delete": True, "write_part_size": 5 * MIB},
    )
    done = running.run("iam-policy", "a")
    assert done.returncode == 0, done.stderr
    return {action for statement in json.loads(done.stdout)["Statement"] for action in statement["Action"]}


def _read(path: Path) -> None:
    assert (path / "a").read_bytes() == b"data"


def _write(path: Path) -> None:
    (path / "small").write_bytes(b"x")


def _break_off(path: Path) -> None:
    """A file that is not written in order has its upload aborted."""
    file = os.open(path / "broken", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(file, bytes(11 * MIB))
        with pytest.raises(OSError, match="Invalid argument"):
            os.pwrite(file, b"x", 0)
    finally:
        with contextlib.suppress(OSError):
            os.close(file)


def _remove(path: Path) -> None:
    (path / "to-remove").unlink()


USES: Final = {GET: _read, PUT: _write, ABORT: _break_off, DELETE: _remove}


def test_a_mount_does_everything_by_the_printed_policy_and_sends_nothing_else(
    running: Running, guarded: Guarded
) -> None:
    guarded.server.put(guarded.bucket, "p/to-remove", b"x")
    granted = _declare(running, guarded)
    guarded.allow(granted)
    guarded.guard(on=True)
    try:
        with running.running():
            for use in USES.values():
                use(running.mountpoint("a"))
            (running.mountpoint("a") / "large").write_bytes(bytes(11 * MIB))
            # What asks for uploads is sent only after an engine's death, whose uploads are then looked for.
            poll_until(lambda: _sent(running) | {LIST_UPLOADS} == granted, f"all of {granted} to be used")
            assert "AccessDenied" not in running.mount("a")["stats"]["s3_errors"]
    finally:
        guarded.guard(on=False)


def _sent(running: Running) -> set[str]:
    return {ACTIONS_OF[operation] for operation in running.mount("a")["stats"]["s3_requests"]}


@pytest.mark.slow
@pytest.mark.parametrize("lacking", list(USES))
def test_without_any_one_of_its_actions_something_is_refused(running: Running, guarded: Guarded, lacking: str) -> None:
    guarded.server.put(guarded.bucket, "p/to-remove", b"x")
    guarded.allow(_declare(running, guarded) - {lacking})
    guarded.guard(on=True)
    try:
        with running.running("ready", "degraded"):
            with contextlib.suppress(OSError):
                USES[lacking](running.mountpoint("a"))
            poll_until(lambda: running.mount("a")["stats"]["s3_errors"].get("AccessDenied"), "S3's refusal")
    finally:
        guarded.guard(on=False)
