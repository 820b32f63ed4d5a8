"""How a command ends: whatever it raises becomes one sentence on stderr and an exit code, never a traceback.

Called by cli.py around every command, and by mount_command.py. Exit codes: 0 good, 1 failed, 2 wrong usage, 130
interrupted; an error of mountctl/errors.py has its own. Imports no parser: `status` must be quick.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from mountctl.errors import MountctlError
from mountctl.terminal import CannotWrite, ReaderGone, leave_output

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
DEBUG_VARIABLE: Final = "MOUNTCTL_DEBUG"


def guarded(call: Callable[[], Any]) -> int:
    """Run the command; turn whatever it raises into a sentence and an exit code."""
    try:
        return int(call() or 0)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ReaderGone:
        leave_output()
        return 0
    except CannotWrite as error:
        leave_output()
        return say_unwritten(str(error))
    except SystemExit as error:  # of the parser's completion, which prints and is done
        return error.code if isinstance(error.code, int) else EXIT_FAILED if error.code else 0
    except BaseException as error:  # noqa: BLE001 - the last line of the program: it must end with a sentence
        return _say(error)


def say_unwritten(reason: str) -> int:
    """What was to be printed can't be written. Returns the exit code."""
    tell(f"mountctl: cannot write the output: {reason}")
    return EXIT_FAILED


def tell(text: str) -> None:
    """A line to stderr, if there is anybody who listens."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")  # escapes what its encoding lacks, as Python's stderr always does
    except OSError:
        return  # the exit code says the same


def _say(error: BaseException) -> int:
    parser = sys.modules.get("typer")  # an error of a parser comes from one that is imported
    if parser is not None:
        if isinstance(error, parser.Abort):
            return EXIT_INTERRUPTED
        # All of click's errors for wrong usage; typer brings its own copy of click or uses the package, by its version.
        if isinstance(error, parser.BadParameter.__mro__[2]):
            return _say_usage(error, is_of_parameter=isinstance(error, parser.BadParameter))
    return _say_failure(error)


def _say_usage(error: Any, *, is_of_parameter: bool) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        tell(error.format_message())
        return EXIT_USAGE
    message = error.format_message().rstrip(".")
    parameter = getattr(error, "param", None)
    if is_of_parameter and parameter is not None and error.message:
        message = f"{parameter.opts[0]}: {error.message.rstrip('.')}"
    where = context.command_path if context is not None else "mountctl"
    tell(f"mountctl: {message[:1].lower()}{message[1:]} (see `{where} --help`)")
    return int(error.exit_code)


def _say_failure(error: BaseException) -> int:
    code = EXIT_FAILED
    for each in _leaves(error):
        if isinstance(each, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        if isinstance(each, MountctlError):
            tell(f"mountctl: {each}")
            code = each.exit_code
        else:
            tell(f"mountctl: unexpected {type(each).__name__}: {each}; this is a bug ({DEBUG_VARIABLE}=1 shows where)")
    if os.environ.get(DEBUG_VARIABLE) == "1":
        import traceback

        traceback.print_exception(error)
    return code


def _leaves(error: BaseException) -> list[BaseException]:
    """The errors in a nursery's group of them."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
