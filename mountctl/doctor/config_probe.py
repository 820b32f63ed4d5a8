"""Reads a configuration for doctor: `python -m mountctl.doctor.config_probe FILE`, in a process of its own.

Started by probing.py: the file, or what it refers to, may lie where nobody answers. Prints one JSON line.
"""

import json
import os
import sys
from pathlib import Path

from mountctl.commands.mountpoints import Mountpoints
from mountctl.config.advice import advice
from mountctl.config.load import examine
from mountctl.errors import Problem
from mountctl.supervisor.slices import here


def main(arguments: list[str]) -> int:
    """Print mounts, problems and warnings. Returns the exit code."""
    examined = examine(Path(arguments[0]))
    told = {
        "mounts": [json.loads(spec.model_dump_json(by_alias=True)) for spec in examined.config.mounts.values()],
        "problems": [_plain(each) for each in examined.problems],
        "warnings": [_plain(each) for each in advice(examined, Mountpoints().occupied, here.unmet)],
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _plain(problem: Problem) -> list[object]:
    return [os.fspath(problem.file), *problem[1:]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
