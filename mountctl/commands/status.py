"""`mountctl status`: asks the supervisor, shows a table or JSON. Called by cli.py. Touches no mount."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mountctl import terminal
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, SupervisorSilent, UnknownMount
from mountctl.status_table import Look, render

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES: Final = {"ready": 0, "degraded": 3, "failed": 4}
# No answer is no mount, as far as anybody can tell.
EXIT_NO_ANSWER: Final = 4


def status(runtime_dir: Path, names: Sequence[str], *, as_json: bool, no_color: bool, alive: bool = False) -> int:
    """Print the status; the exit code is its health: 0 ready, 3 degraded, 4 failed or nobody answers.

    With `alive` nothing is printed, and 0 is any answer: for probes, which must not end a supervisor for what S3 does.

    Raises MountctlError with that exit code.
    """
    with answering():
        answer = ControlClient(runtime_dir).status(names)
        if alive:
            return 0
        text = (
            json.dumps(answer, indent=2, ensure_ascii=False)
            if as_json
            else shown(answer, no_color=no_color, detail=bool(names))
        )
        code = EXIT_CODES[answer["health"]]
    sys.stdout.write(f"{text}\n")
    return code


def of_pod(runtime_dir: Path, pod: str, *, as_json: bool, no_color: bool) -> int:
    """The same of the volumes that a pod uses only, which is NAMESPACE/NAME. Raises MountctlError as `status` does."""
    with answering():
        names = used_by(ControlClient(runtime_dir).status(), pod)
    return status(runtime_dir, names, as_json=as_json, no_color=no_color)


def used_by(answer: Mapping[str, Any], pod: str) -> list[str]:
    """The volumes that a pod uses, by name. Raises UnknownMount."""
    named = [
        mount["name"]
        for mount in answer["mounts"]
        for each in (mount.get("volume") or {"consumers": []})["consumers"]
        if each.get("pod") is not None and pod == f"{each['pod']['namespace']}/{each['pod']['name']}"
    ]
    if not named:
        raise UnknownMount(f"no volume is used by the pod {pod} (write NAMESPACE/NAME)")
    return list(dict.fromkeys(named))


def shown(answer: Mapping[str, Any], *, no_color: bool, detail: bool = False) -> str:
    """The table of an answer, for whatever stdout is. Raises as `render` does."""
    columns, _ = terminal.size()
    colour = terminal.has_colour(refused=no_color)
    return render(answer, datetime.now(UTC), Look(columns, colour=colour, detail=detail))


@contextmanager
def answering() -> "Iterator[None]":
    """Around what asks for a status and shows it: every failure is a MountctlError with the exit code of `status`."""
    try:
        yield
    except MountctlError as error:
        error.exit_code = EXIT_NO_ANSWER
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        silent = SupervisorSilent("the supervisor's answer is not a status: is it of another version?")
        silent.exit_code = EXIT_NO_ANSWER
        raise silent from error
