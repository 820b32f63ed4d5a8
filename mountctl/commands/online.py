"""What `mountctl check --online` asks S3: whether the mounts would get what they need. Called by check.py.

The engine's own code asks, in a process of its own (engine/inquiry.py): nothing of S3 is here. Changes nothing.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import ValidationError

from engine.answers import Answer
from engine.spec import MountSpec
from mountctl.errors import MountctlError

# A start with botocore takes a second on a busy machine; then at most 65 s for each eight mounts (credentials 30 s, and
# seven questions of 5 s each: engine/inquiry.py).
_START_SECONDS_MAX: Final = 60.0
_MOUNTS_AT_ONCE: Final = 8
_SECONDS_MAX: Final = 65.0
# Of what a process says that fails.
_REASON_CHARACTERS_MAX: Final = 300


class InquiryFailed(MountctlError):
    """The process that asks S3 has not answered for every mount."""


def ask(mounts: Sequence[MountSpec]) -> list[Answer]:
    """What S3 says of each mount, in their order. Raises InquiryFailed."""
    if not mounts:
        return []
    question = json.dumps([json.loads(spec.model_dump_json(by_alias=True)) for spec in mounts])
    seconds_max = _START_SECONDS_MAX + _SECONDS_MAX * -(-len(mounts) // _MOUNTS_AT_ONCE)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "engine.inquiry"],
            input=question.encode(),
            capture_output=True,
            timeout=seconds_max,
            check=False,
        )
        answers = {answer.name: answer for answer in _answers(done.stdout)}
    except subprocess.TimeoutExpired as error:
        raise InquiryFailed(f"asking S3 took longer than {seconds_max:.0f} s") from error
    except ValidationError as error:
        raise InquiryFailed("asking S3 failed: the engine that is installed answers otherwise than agreed") from error
    if missing := [spec.name for spec in mounts if spec.name not in answers]:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:_REASON_CHARACTERS_MAX]
        raise InquiryFailed(
            f"asking S3 ended without an answer for {missing[0]}: {said or f'exit code {done.returncode}'}"
        )
    return [answers[spec.name] for spec in mounts]


def _answers(output: bytes) -> Iterable[Answer]:
    for line in output.splitlines():
        yield Answer.model_validate_json(line)
