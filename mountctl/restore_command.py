"""`mountctl restore` as the command line has it. Registered by parser.py; the body is in commands/restore.py."""

from typing import Annotated, Final

import typer

from engine.restores import Tier
from mountctl.command_line import AsJson, Settings, command

_TIERS: Final[dict[str, Tier]] = {"standard": "Standard", "bulk": "Bulk", "expedited": "Expedited"}


def register() -> None:
    """Add the command to the program."""
    command(restore)


def restore(
    settings: Settings,
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Files in mounts.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="And all below these directories.")] = False,  # noqa: FBT002
    tier: Annotated[str, typer.Option(metavar="TIER", help="Standard, Bulk or Expedited.")] = "Standard",
    days: Annotated[int, typer.Option(metavar="N", min=1, max=3650, help="How long S3 keeps the copies.")] = 7,
    max_objects: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Not if there are more.")] = 1000,
    max_bytes: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Not if it is more. [default: any]", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until all can be read, which takes minutes to days.")] = False,  # noqa: FBT002
    status: Annotated[  # noqa: FBT002
        bool, typer.Option("--status", help="Ask for nothing: show what S3 says of the paths, or what is under way.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Have S3 restore archived objects, so that they can be read. What that costs depends on the tier."""
    from mountctl.commands import restore as body

    if tier.lower() not in _TIERS:
        raise typer.BadParameter(f"{tier!r} is none of Standard, Bulk and Expedited", param_hint="--tier")
    if not paths and not status:
        raise typer.BadParameter("give a path, or --status", param_hint="PATH")
    wanted = body.Wanted(
        paths=paths or (),
        recursive=recursive,
        tier=_TIERS[tier.lower()],
        days=days,
        objects_max=max_objects,
        bytes_max=max_bytes,
    )
    if status:
        return body.status(settings.runtime_dir, wanted, as_json=as_json)
    return body.restore(settings.runtime_dir, wanted, wait=wait, as_json=as_json)
