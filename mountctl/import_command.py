"""`mountctl import` as the command line has it. Registered by parser.py; the body is in commands/import_.py."""

from pathlib import Path
from typing import Annotated

import typer

from mountctl.command_line import AsJson, Settings, command


def register() -> None:
    """Add the command to the program."""
    import_.__name__ = "import"
    command(import_)


def import_(
    settings: Settings,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="An fstab, a unit's file or name, a directory of units, `live` for running processes, `-` for stdin. "
            "[default: all that this host has]",
        ),
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option("--command", metavar="TEXT", help="A command line; may be repeated.", show_default=False),
    ] = None,
    write_credentials: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write their keys into this file, as profiles, for root alone."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print how to switch over, mount by mount.")] = False,  # noqa: FBT002
    switch: Annotated[
        str | None, typer.Option("--switch", metavar="NAME", help="Switch this mount over, and back if it fails.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,  # noqa: FBT002
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="For the new mount to become ready.")
    ] = 60.0,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Print a configuration for what mount-s3, s3fs, goofys, geesefs and rclone mount; with --switch move to it."""
    from mountctl.commands import import_ as body

    if switch is not None and plan:
        raise typer.BadParameter("not with --switch", param_hint="--plan")
    asked = body.Asked(
        sources or (), commands or (), None if write_credentials is None else write_credentials.absolute()
    )
    if switch is not None:
        return body.switch_over(asked, settings.config, settings.runtime_dir, switch, yes=yes, seconds=timeout)
    if plan:
        return body.plan(asked, settings.config, as_json=as_json)
    return body.show(asked, as_json=as_json)
