"""The command line: options, and what a person sees when something fails. `main` is the program's entry point.

stdout is data, stderr is talk; an error is one sentence and an exit code (0 good, 1 failed, 2 wrong usage; `status` has
its own), never a traceback. Commands are in mountctl/commands and imported when called: `status` must be quick.
"""

import contextlib
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import engine
from mountctl import file_commands
from mountctl.command_line import ONE_MOUNT_RUNTIME_DIR, RUNTIME_DIR_VARIABLE, Settings, app, command
from mountctl.errors import MountctlError
from mountctl.quick import StatusAsked, status_asked

if TYPE_CHECKING:
    from mountctl.commands.fstab import Call

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
DEBUG_VARIABLE: Final = "MOUNTCTL_DEBUG"
# The program's other name: mount(8) calls /sbin/mount.TYPE for a file system of that type.
HELPER: Final = "mount.mountctl"


# All of click's errors for wrong usage; typer brings its own copy of click or uses the package, by its version.
_ClickError: Final[type[Exception]] = typer.BadParameter.__mro__[2]


file_commands.register()


@command
def run(
    settings: Settings,
    no_watch: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-watch", envvar="MOUNTCTL_NO_WATCH", help="Reload only when told to.")
    ] = False,
) -> int:
    """Mount all that the configuration file declares and keep it so, in the foreground."""
    from mountctl.commands import run as body

    return body.run(settings.config, settings.runtime_dir, settings.state_dir, watch=not no_watch)


@command
def plan(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="The whole plan, as JSON.")] = False,  # noqa: FBT002
) -> int:
    """Show what a reload would do, mount by mount; touch nothing. Exit code 0: nothing, 2: changes, 1: an error."""
    from mountctl.commands import plan as body

    return body.plan(settings.runtime_dir, as_json=as_json)


@command
def status(
    settings: Settings,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these mounts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole status, as JSON.")] = False,  # noqa: FBT002
) -> int:
    """Show all mounts. Exit code 0: all ready, 3: degraded, 4: nothing is served, or there is no supervisor."""
    from mountctl.commands import status as body

    return body.status(settings.runtime_dir, names or [], as_json=as_json)


@command
def reload(
    settings: Settings,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result; that is always so.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Even if most mounts would go.")] = False,  # noqa: FBT002
    atomic: Annotated[bool, typer.Option("--atomic", help="Change all mounts, or none.")] = False,  # noqa: FBT002
    confirm: Annotated[
        float | None,
        typer.Option("--confirm", metavar="SECONDS", min=1, help="Go back unless `mountctl confirm` comes in time."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this mount; may be repeated.")
    ] = None,
) -> int:
    """Have the supervisor read its file again and make it so; an error in it changes nothing."""
    from mountctl.commands import reload as body

    return body.reload(settings.runtime_dir, yes=yes, atomic=atomic, only=only or (), confirm=confirm)


@command
def confirm(settings: Settings) -> int:
    """Keep what `reload --confirm` has put in force, for good."""
    from mountctl.commands import reload as body

    return body.confirm(settings.runtime_dir)


@command
def stop(
    settings: Settings,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The mounts.")],
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0, help="For what is being written.")
    ] = 30.0,
) -> int:
    """Unmount mounts and keep them so, over reloads and reboots, until `mountctl start`."""
    from mountctl.commands import hold as body

    return body.stop(settings.runtime_dir, names, deadline)


@command
def start(
    settings: Settings, names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The mounts.")]
) -> int:
    """Mount again what `mountctl stop` has unmounted."""
    from mountctl.commands import hold as body

    return body.start(settings.runtime_dir, names)


@command
def restart(
    settings: Settings, names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The mounts.")]
) -> int:
    """Have a new engine serve a mount, or try again at once one that failed or waits for its next try."""
    from mountctl.commands import restart as body

    return body.restart(settings.runtime_dir, names)


@command
def upgrade(settings: Settings) -> int:
    """Have all mounts served by the engine that is installed now; programs that use them notice nothing."""
    from mountctl.commands import upgrade as body

    return body.upgrade(settings.runtime_dir)


@command
def version(settings: Settings) -> int:
    """Print the version."""
    sys.stdout.write(f"mountctl {engine.__version__}\n")
    return 0


def _add_mount(*, in_full: bool) -> None:
    """The `mount` command. Its options come from MountSpec, which other commands need not import."""

    def mount(settings: Settings, **options: Any) -> int:
        """Mount one bucket, or a prefix of it, in the foreground, without a configuration file."""
        from mountctl.commands import mount as body

        if (fstab := options.pop("fstab")) is not None:
            return _mount_as_fstab(settings, fstab, options)
        spec = body.spec_from(**options)
        return body.mount(spec, settings.runtime_dir_of(spec.name), settings.state_dir)

    own: list[inspect.Parameter] = []
    if in_full:
        from mountctl.commands.mount import parameters

        own = parameters()
    command(mount, own)


def _mount_as_fstab(settings: Settings, text: str, options: dict[str, Any]) -> int:
    """`mountctl mount SOURCE DIR -o OPTIONS`: all is in the option string, and exit codes are mount(8)'s."""
    from mountctl.commands import fstab

    def body() -> int:
        call = fstab.Call(options.pop("source"), options.pop("directory"), text)
        if others := [name for name, value in options.items() if value not in (None, False)]:
            option = f"--{others[0].replace('_', '-')}"
            raise fstab.WrongCall(f"-o: not together with {option}: put it into the option string")
        return _fstab(settings, call)

    return fstab.exit_code(_guarded(body))


def _fstab(settings: Settings, call: "Call") -> int:
    from mountctl.commands import fstab

    own = None if settings.runtime_dir_given else ONE_MOUNT_RUNTIME_DIR
    return fstab.mount(call, settings.runtime_dir, settings.state_dir, own)


def _help_mount(arguments: Sequence[str]) -> int:
    """Be mount(8)'s helper: `mount.mountctl SOURCE DIR [-sfnv] [-o OPTIONS]`."""
    from mountctl.commands import fstab

    place = os.environ.get(RUNTIME_DIR_VARIABLE)
    settings = Settings().with_options(Path(place) if place else None, None, None)
    return fstab.exit_code(_guarded(lambda: _fstab(settings, fstab.take_apart(arguments))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit.

    Args:
        arguments: without the program's name; None: the process's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if Path(sys.argv[0]).name == HELPER:
        sys.exit(_help_mount(given))
    asked = status_asked(given)
    if asked is None:
        _add_mount(in_full="mount" in given)
    # No command prints much, and none while it runs: so a reader that has gone, or a full disk, is met in one place.
    data = io.StringIO()
    with contextlib.redirect_stdout(data):
        code = _guarded(lambda: _command(given) if asked is None else _status(asked))
    sys.exit(_written(data.getvalue(), code))


def _status(asked: StatusAsked) -> int:
    from mountctl.commands import status as body

    place = asked.runtime_dir or os.environ.get(RUNTIME_DIR_VARIABLE)
    settings = Settings().with_options(Path(place) if place else None, None, None)
    return body.status(settings.runtime_dir, list(asked.names), as_json=asked.as_json)


def _command(arguments: list[str]) -> Any:
    if "mount" in arguments:
        from mountctl.commands.mount import refuse_unsupported

        refuse_unsupported(arguments)
    return typer.main.get_command(app).main(arguments, prog_name="mountctl", standalone_mode=False)


def _guarded(call: Callable[[], Any]) -> int:
    """Run the command; turn whatever it raises into a sentence and an exit code."""
    try:
        return int(call() or 0)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except _ClickError as error:
        return _say_usage(error)
    except BaseException as error:  # noqa: BLE001 - the last line of the program: it must end with a sentence
        return _say_failure(error)


def _say_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        _tell(error.format_message())
        return EXIT_USAGE
    message = error.format_message().rstrip(".")
    parameter = getattr(error, "param", None)
    if isinstance(error, typer.BadParameter) and parameter is not None and error.message:
        message = f"{parameter.opts[0]}: {error.message.rstrip('.')}"
    where = context.command_path if context is not None else "mountctl"
    _tell(f"mountctl: {message[:1].lower()}{message[1:]} (see `{where} --help`)")
    return int(error.exit_code)


def _say_failure(error: BaseException) -> int:
    code = EXIT_FAILED
    for each in _leaves(error):
        if isinstance(each, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        if isinstance(each, MountctlError):
            _tell(f"mountctl: {each}")
            code = each.exit_code
        else:
            _tell(f"mountctl: unexpected {type(each).__name__}: {each}; this is a bug ({DEBUG_VARIABLE}=1 shows where)")
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
    return code


def _leaves(error: BaseException) -> list[BaseException]:
    """The errors in a nursery's group of them."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _tell(text: str) -> None:
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")  # escapes what its encoding lacks, as Python's stderr always does
    except OSError:
        return  # nobody listens; the exit code says the same


def _written(data: str, code: int) -> int:
    """Write what the command printed. A reader that has gone (`| head`) changes no exit code."""
    if not data or sys.stdout is None:  # None: it was closed before we began
        return code
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stdout.write(data)
        sys.stdout.flush()
    except OSError as error:
        # Python flushes again at its end, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _tell(f"mountctl: cannot write the output: {error.strerror}")
            return EXIT_FAILED
    return code
