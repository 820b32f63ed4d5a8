"""What `check --online` and `import --switch` ask S3: whether the mounts would get what they need.

The engine's own code asks, in a process of its own (engine/inquiry.py): nothing of S3 is here. Changes nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.answers import Answer
from engine.spec import MountSpec
from mountctl.doctor.host_probe import supervisor_pid
from mountctl.doctor.processes import Environment, environment_of, inquire
from mountctl.errors import MountctlError

# A start with botocore takes a second on a busy machine; then at most 65 s for each eight mounts (credentials 30 s, and
# seven questions of 5 s each: engine/inquiry.py).
_START_SECONDS_MAX: Final = 60.0
_MOUNTS_AT_ONCE: Final = 8
_SECONDS_MAX: Final = 65.0


class InquiryFailed(MountctlError):
    """The process that asks S3 has not answered for every mount."""


def environment(runtime: Path) -> Environment:
    """In which it is asked: that of the supervisor of this runtime directory, if there is one."""
    return environment_of(supervisor_pid(runtime))


def ask(mounts: Sequence[MountSpec], given: Environment) -> list[Answer]:
    """What S3 says of each mount, in their order. Raises InquiryFailed."""
    seconds_max = _START_SECONDS_MAX + _SECONDS_MAX * -(-len(mounts) // _MOUNTS_AT_ONCE)
    found, trouble = inquire("engine.inquiry", Answer, mounts, seconds_max, given.variables)
    answers = {answer.name: answer for answer in found}
    if missing := [spec.name for spec in mounts if spec.name not in answers]:
        raise InquiryFailed(f"asking S3 failed: no answer for {missing[0]}: {trouble or 'it ended too soon'}")
    return [answers[spec.name] for spec in mounts]
