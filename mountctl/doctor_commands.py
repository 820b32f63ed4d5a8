"""The commands that look at how things are, and whether they could be better: `doctor`, `iam-policy`, `bench`.

Registered by parser.py. The bodies are in mountctl/commands, imported when called.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mountctl.command_line import AsJson, Name, Settings, SomeNames, command


def register() -> None:
    """Add the commands to the program."""
    command(doctor)
    command(iam_policy)
    command(bench)


def doctor(
    settings: Settings,
    names: SomeNames = None,
    as_json: AsJson = False,  # noqa: FBT002
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="PATH", help="Write a tar.gz for a bug report there, without secrets."),
    ] = None,
) -> int:
    """Look for what is wrong with the host, the file, each mount and what runs. Exit code 1: warnings, 2: errors."""
    from mountctl.commands import doctor as body

    return body.doctor(
        settings.config, settings.runtime_dir, settings.state_dir, names or (), as_json=as_json, bundle=bundle
    )


def iam_policy(
    settings: Settings,
    names: SomeNames = None,
    partition: Annotated[
        Literal["aws", "aws-cn", "aws-us-gov"] | None,
        typer.Option("--partition", help="Of Amazon's regions. [default: by each mount's region]"),
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Also what `mountctl restore` needs.")] = False,  # noqa: FBT002
    as_json: AsJson = True,  # noqa: FBT002
) -> int:
    """Print the least IAM policy for the mounts as they are configured; it is JSON anyway."""
    from mountctl.commands import iam_policy as body

    return body.iam_policy(settings.config, names or (), partition, restoring=restore)


def bench(
    settings: Settings,
    name: Name,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=1, max=600, help="About how long it takes.")
    ] = 12.0,
    size: Annotated[
        int, typer.Option("--size", metavar="MIB", min=1, max=10_240, help="Of the file that --write makes.")
    ] = 64,
    write: Annotated[  # noqa: FBT002
        bool, typer.Option("--write", help="Write, too, and delete what was written; needs allow-delete.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Measure a mount's bucket by an engine beside it: reads what is there, counts requests and their price."""
    from mountctl.commands import bench as body

    return body.bench(
        settings.config,
        settings.runtime_dir,
        name,
        seconds=seconds,
        size_mib=size,
        write=write,
        as_json=as_json,
    )
