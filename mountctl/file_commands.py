"""The commands that need no supervisor, as the command line has them: `check`, `config show`, `schema`, `completion`.

Registered by parser.py. The bodies are in mountctl/commands, imported when called.
"""

from typing import Annotated

import typer

from mountctl.command_line import AsJson, Settings, SomeNames, command, group


def register() -> None:
    """Add the commands to the program."""
    command(check)
    command(schema)
    command(completion)
    command(show, of=group("config", "What the configuration file means."))


def check(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="What is found, as JSON, for editors.")] = False,  # noqa: FBT002
    online: Annotated[  # noqa: FBT002
        bool, typer.Option("--online", help="Ask S3, too, what it would let the mounts do. Changes nothing there.")
    ] = False,
) -> int:
    """Validate the configuration file and tell what is unwise in it; touch nothing. Exit code 2 if it has errors."""
    from mountctl.commands import check as body

    return body.check(settings.config, settings.runtime_dir, as_json=as_json, online=online)


def show(
    settings: Settings,
    names: SomeNames = None,
    origin: Annotated[  # noqa: FBT002
        bool, typer.Option("--origin", help="Tell where each value is from, and what is built in.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Values and origins, as JSON.")] = False,  # noqa: FBT002
) -> int:
    """Print the mounts as they are meant, after defaults, templates, references and drop-ins."""
    from mountctl.commands import config_show as body

    return body.show(settings.config, names or (), origin=origin, as_json=as_json)


def completion(
    _settings: Settings,
    shell: Annotated[
        str,
        typer.Argument(metavar="SHELL", help="bash, zsh or fish.", autocompletion=lambda: ["bash", "zsh", "fish"]),
    ],
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Print what has a shell complete commands and mounts: `source <(mountctl completion bash)`."""
    from mountctl.commands import completion as body

    if shell not in body.SHELLS:
        raise typer.BadParameter(f"{shell!r} is no shell that is known here: {', '.join(body.SHELLS)}")
    return body.completion(shell, as_json=as_json)


def schema(_settings: Settings, as_json: AsJson = True) -> int:  # noqa: FBT002
    """Print the JSON Schema of the configuration file, for editors; it is JSON anyway."""
    from mountctl.commands import schema as body

    return body.schema()
