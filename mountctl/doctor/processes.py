"""Processes that learn something for a command: in the environment that counts, and given up when they hang.

Used by doctor's probing.py and bundle.py, and by `check --online`, `import --switch` and `bench`.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from engine.spec import MountSpec
from mountctl.interpreter import PYTHON

# A process that is killed ends at once, unless it sleeps in the kernel.
_KILLED_SECONDS_MAX: Final = 1.0
# Of what a process says that fails.
_REASON_CHARACTERS_MAX: Final = 300

_T = TypeVar("_T", bound=BaseModel)


class ProbeFailed(Exception):
    """A process gave no whole answer; the text says why. `lines`: what it had printed."""

    def __init__(self, reason: str, lines: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.lines: Final = tuple(lines)


class Environment(NamedTuple):
    """Variables, and whose they are: proxies and keys are looked up in them.

    Args:
        variables: all of them.
        supervisor: the process whose they are; None: they are this command's own.
        told: that, as a sentence.
    """

    variables: Mapping[str, str]
    supervisor: int | None
    told: str


def environment_of(supervisor: int | None) -> Environment:
    """That of the supervisor, where one runs: its mounts are made in that. Else this command's own."""
    ours = dict(os.environ)
    if supervisor is None:
        return Environment(ours, None, "asked in the environment of this command, as no supervisor runs")
    try:
        raw = Path(f"/proc/{supervisor}/environ").read_bytes()
    except OSError as error:
        told = f"asked in the environment of this command, as that of the supervisor ({supervisor}) can't be read"
        return Environment(ours, None, f"{told}: {error.strerror}")
    pairs = (os.fsdecode(each).partition("=") for each in raw.split(b"\0") if b"=" in each)
    theirs = {name: value for name, _, value in pairs}
    # Where Python finds our code is not the supervisor's business.
    variables = theirs | {name: ours[name] for name in ("PATH", "PYTHONPATH") if name in ours}
    return Environment(variables, supervisor, f"asked in the environment of the supervisor ({supervisor})")


def run(module: str, arguments: Sequence[str], given: str, seconds: float, environment: Mapping[str, str]) -> list[str]:
    """The lines that `python -m MODULE` prints. Raises ProbeFailed."""
    code, out, err = output([*PYTHON, "-m", module, *arguments], seconds, environment, given)
    lines = out.splitlines()
    if code:
        raise ProbeFailed(err.strip().rpartition("\n")[2][:_REASON_CHARACTERS_MAX] or f"exit code {code}", lines)
    return lines


def output(
    command: Sequence[str], seconds: float, environment: Mapping[str, str], given: str = ""
) -> tuple[int, str, str]:
    """A program's exit code, and what it prints on both. Raises ProbeFailed if it takes longer.

    Nobody waits for one that hangs in the kernel's hands.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environment)
    )
    try:
        out, err = process.communicate(given.encode(), seconds)
    except subprocess.TimeoutExpired as error:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED_SECONDS_MAX)
        whole = (error.output or b"").rpartition(b"\n")[0]
        raise ProbeFailed(f"no answer within {seconds:.0f} s", whole.decode(errors="replace").splitlines()) from None
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()  # type: ignore[union-attr]
    return process.returncode, out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace")


def inquire(
    module: str, form: type[_T], mounts: Sequence[MountSpec], seconds: float, environment: Mapping[str, str]
) -> tuple[list[_T], str]:
    """Ask a module of the engine about mounts: what it answered in time, a line each, and why that is not all.

    Args:
        module: inquiry or reach, which ask S3; nothing of S3 is here.
        form: of an answer.
        mounts: which.
        seconds: how long it may take.
        environment: to ask in.
    """
    if not mounts:
        return [], ""
    question = json.dumps([json.loads(spec.model_dump_json(by_alias=True)) for spec in mounts])
    lines: Sequence[str]
    try:
        lines, trouble = run(module, [], question, seconds, environment), ""
    except ProbeFailed as error:
        lines, trouble = error.lines, str(error)
    try:
        return [form.model_validate_json(line) for line in lines], trouble
    except ValidationError:
        return [], "the engine that is installed answers otherwise than agreed"
