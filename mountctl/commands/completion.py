"""`mountctl completion SHELL`: the script that has a shell complete commands, options and names of mounts.

Called by file_commands.py. What is completed is the parser's, and mountctl/completion.py's.
"""

import json
import sys
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")
PROGRAM: Final = "mountctl"
VARIABLE: Final = "_MOUNTCTL_COMPLETE"


def completion(shell: str, *, as_json: bool) -> int:
    """Print the script. Returns 0."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)
    sys.stdout.write(json.dumps({"shell": shell, "script": script}) + "\n" if as_json else f"{script}\n")
    return 0
