"""Programs that ask for names which engines of a poisoned supervisor can't stand (poisoned/sitecustomize.py)."""

import subprocess
import sys
from pathlib import Path
from typing import Final

POISONED: Final = Path(__file__).parent / "poisoned"


def looking_up(path: Path) -> subprocess.Popen[str]:
    """A program that asks for a name, and prints the error it got."""
    script = "import os, sys\ntry: os.stat(sys.argv[1])\nexcept OSError as error: print(error.errno)"
    return subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True)


def end_of(program: subprocess.Popen[str]) -> str:
    """What a program printed, once it has ended."""
    said, _ = program.communicate(timeout=60)
    return said.strip()
