"""The command line as a whole: all commands, registered and run. Called by cli.py, but for what quick.py recognises."""

import os
from collections.abc import Sequence
from typing import Any

import typer
from typer._completion_classes import completion_init

from mountctl import (
    csi_commands,
    doctor_commands,
    file_commands,
    import_command,
    mount_command,
    restore_command,
    supervisor_commands,
)
from mountctl.command_line import app
from mountctl.commands.completion import VARIABLE

supervisor_commands.register()
file_commands.register()
import_command.register()
restore_command.register()
doctor_commands.register()
csi_commands.register()


def program(*, mount_in_full: bool = False) -> Any:
    """The program as click has it; `mount` has its options only `mount_in_full`, as they take long to import."""
    mount_command.register(in_full=mount_in_full)
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> Any:
    """Parse and run; returns the exit code. Raises click's errors, and what the command raises."""
    in_full = "mount" in arguments
    if in_full:
        from mountctl.commands.mount import refuse_unsupported

        refuse_unsupported(arguments)
    if VARIABLE in os.environ:  # a shell asks what could come next
        completion_init()
    return program(mount_in_full=in_full).main(list(arguments), prog_name="mountctl", standalone_mode=False)
