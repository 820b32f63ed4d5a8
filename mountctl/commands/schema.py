"""`mountctl schema`: the JSON Schema of the configuration file, for editors. Called by file_commands.py."""

import json
import sys

from mountctl.config.schema import schema as made


def text() -> str:
    """The schema as it is printed, and kept in config/."""
    return json.dumps(made(), indent=2, ensure_ascii=False) + "\n"


def schema() -> int:
    """Print it. Returns 0."""
    sys.stdout.write(text())
    return 0
