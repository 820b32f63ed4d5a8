"""`mountctl status`: asks the supervisor, shows a table or JSON. Called by cli.py. Touches no mount."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, SupervisorSilent
from mountctl.status_table import render

_EXIT_CODES: Final = {"ready": 0, "degraded": 3, "failed": 4}
# No answer is no mount, as far as anybody can tell.
_EXIT_NO_ANSWER: Final = 4


def status(runtime_dir: Path, names: Sequence[str], *, as_json: bool) -> int:
    """Print the status; the exit code is its health: 0 ready, 3 degraded, 4 failed or nobody answers.

    Raises MountctlError with that exit code.
    """
    try:
        answer = ControlClient(runtime_dir).status(names)
        text = json.dumps(answer, indent=2, ensure_ascii=False) if as_json else render(answer, datetime.now(UTC))
        code = _EXIT_CODES[answer["health"]]
    except MountctlError as error:
        error.exit_code = _EXIT_NO_ANSWER
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        silent = SupervisorSilent("the supervisor's answer is not a status: is it of another version?")
        silent.exit_code = _EXIT_NO_ANSWER
        raise silent from error
    sys.stdout.write(f"{text}\n")
    return code
