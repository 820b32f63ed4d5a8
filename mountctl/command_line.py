"""How the command line is made: the program, the options of every command, and how a function becomes a command.

Used by parser.py and the files of commands beside it. Runs nothing.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

import engine
from mountctl.companion_log import LogFormat
from mountctl.completion import mount_names
from mountctl.places import CONFIG, CONFIG_VARIABLE, ONE_MOUNT_RUNTIME_DIR, RUNTIME_DIR, RUNTIME_DIR_VARIABLE

# Options and arguments that several commands have.
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="As JSON, in full.")]
Follow: TypeAlias = Annotated[bool, typer.Option("--follow", "-f", help="Go on, and show what comes.")]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The mount.", autocompletion=mount_names)]
Names: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="The mounts.", autocompletion=mount_names)
]
SomeNames: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these mounts.", autocompletion=mount_names)
]
# Of commands that go on beside the supervisor; its own log is as its file says.
LogFormatOption: TypeAlias = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        envvar="MOUNTCTL_LOG_FORMAT",
        show_default=False,
        help="What is logged to standard error, or to journald. Default: journal where that is the journal, else text.",
    ),
]


@dataclass(frozen=True)
class Settings:
    """The options that every command takes, before or after its name. `given`: not only the default."""

    runtime_dir: Path = RUNTIME_DIR
    config: Path = CONFIG
    state_dir: Path = Path("/var/lib/mountctl")
    runtime_dir_given: bool = False

    def with_options(self, runtime_dir: Path | None, config: Path | None, state_dir: Path | None) -> "Settings":
        """These settings, but for what was given."""
        return replace(
            self,
            runtime_dir=runtime_dir or self.runtime_dir,
            config=config or self.config,
            state_dir=state_dir or self.state_dir,
            runtime_dir_given=self.runtime_dir_given or runtime_dir is not None,
        )

    def runtime_dir_of(self, mount: str) -> Path:
        """Where `mountctl mount` of this name lives."""
        return self.runtime_dir if self.runtime_dir_given else ONE_MOUNT_RUNTIME_DIR / mount


def _settings_options(*, from_environment: bool) -> list[inspect.Parameter]:
    """The parameters for Settings. The environment counts once, in front of the command."""
    told = {
        "runtime_dir": (RUNTIME_DIR_VARIABLE, f"Where the control socket is. [default: {RUNTIME_DIR}]"),
        "config": (CONFIG_VARIABLE, f"The configuration file. [default: {Settings.config}]"),
        "state_dir": (
            "MOUNTCTL_STATE_DIR",
            f"What is noted for later runs, and outlives a reboot. [default: {Settings.state_dir}]",
        ),
    }
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option(
                    f"--{name.replace('_', '-')}",
                    envvar=variable if from_environment else None,
                    show_default=False,
                    help=text,
                    metavar="PATH",
                ),
            ],
        )
        for name, (variable, text) in told.items()
    ]


app: Final = typer.Typer(
    name="mountctl",
    help="Mounts S3 buckets as one file declares them, and keeps them mounted.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def group(name: str, text: str) -> typer.Typer:
    """A group of commands: `mountctl NAME COMMAND`. `text` is its help."""
    commands = typer.Typer(help=text, rich_markup_mode=None, no_args_is_help=True)
    app.add_typer(commands, name=name)
    return commands


def _with_options(function: Callable[..., Any], options: Sequence[inspect.Parameter]) -> Callable[..., Any]:
    """Give a function the signature that typer makes a command line of."""
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    function.__signature__ = inspect.Signature([context, *options])  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in (context, *options)}
    return function


def command(
    function: Callable[..., int], own: Sequence[inspect.Parameter] | None = None, *, of: typer.Typer = app
) -> Callable[..., int]:
    """Make a command of `function(settings, ...)`, which returns the exit code. Its docstring is the help.

    Args:
        function: its name is the command's, with `-` for `_`.
        own: its options, if its own signature does not have them.
        of: the program, or a group of commands in it.
    """

    def run(context: typer.Context, **options: Any) -> None:
        base: Settings = context.obj or Settings()
        places = {name: options.pop(name) for name in ("runtime_dir", "config", "state_dir")}
        raise typer.Exit(function(base.with_options(**places), **options))

    if own is None:
        own = list(inspect.signature(function).parameters.values())[1:]
    by_keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    run.__doc__ = function.__doc__
    of.command(function.__name__.replace("_", "-"))(
        _with_options(run, [*by_keyword, *_settings_options(from_environment=False)])
    )
    return function


def _start(context: typer.Context, **options: Any) -> None:
    version = options.pop("version")
    context.obj = Settings().with_options(**options)
    if version:
        sys.stdout.write(f"mountctl {engine.__version__}\n")
        raise typer.Exit


_VERSION_OPTION: Final = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)],
)
app.callback(invoke_without_command=True)(
    _with_options(_start, [*_settings_options(from_environment=True), _VERSION_OPTION])
)
