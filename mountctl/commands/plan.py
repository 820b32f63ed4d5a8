"""`mountctl plan`: what a reload would do, as the supervisor that runs sees it. Called by cli.py. Touches nothing."""

import json
import sys
from pathlib import Path

from pydantic import ValidationError

from mountctl.control.client import ControlClient
from mountctl.errors import SupervisorSilent
from mountctl.plan import Plan, render


def plan(runtime_dir: Path, *, as_json: bool) -> int:
    """Print the plan. Returns 0: nothing to do, 2: changes, 1: a reload would be refused.

    Raises MountctlError when there is no answer.
    """
    answer = ControlClient(runtime_dir).plan()
    try:
        found = Plan.model_validate(answer)
    except ValidationError as error:
        raise SupervisorSilent("the supervisor's answer is not a plan: is it of another version?") from error
    if as_json:
        sys.stdout.write(f"{json.dumps(answer, indent=2, ensure_ascii=False)}\n")
    elif not found.errors:
        sys.stdout.write(f"{render(found)}\n")
    for problem in found.errors:
        sys.stderr.write(f"mountctl: a reload would be refused: {problem}\n")
    for risk in found.risks:
        sys.stderr.write(f"mountctl: a reload would be refused without --yes: {risk}\n")
    return found.exit_code
