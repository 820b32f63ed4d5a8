"""The commands that look at how things are, and whether they could be better: `doctor`, `iam-policy`, `bench`.

Registered by parser.py. The bodies are in mountctl/commands, imported when called.
"""

from typing import Annotated, Literal

import typer

from mountctl.command_line import AsJson, Settings, SomeNames, command


def register() -> None:
    """Add the commands to the program."""
    command(iam_policy)


def iam_policy(
    settings: Settings,
    names: SomeNames = None,
    partition: Annotated[
        Literal["aws", "aws-cn", "aws-us-gov"] | None,
        typer.Option("--partition", help="Of Amazon's regions. [default: by each mount's region]"),
    ] = None,
    as_json: AsJson = True,  # noqa: FBT002
) -> int:
    """Print the least IAM policy for the mounts as they are configured; it is JSON anyway."""
    from mountctl.commands import iam_policy as body

    return body.iam_policy(settings.config, names or (), partition)
