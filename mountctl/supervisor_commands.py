"""The commands that run a supervisor or talk with one, as the command line has them. Registered by parser.py.

The bodies are in mountctl/commands, imported when called.
"""

import gc
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import engine
from mountctl.command_line import AsJson, Follow, LogFormatOption, Name, Names, Settings, SomeNames, command


class FdHolder(StrEnum):
    """Who keeps what is mounted when a supervisor ends."""

    OWN = "own"
    EXTERNAL = "external"


def register() -> None:
    """Add the commands to the program."""
    for each in (run, plan, status, metrics, events, logs, log_level, wait):
        command(each)
    for other in (reload, confirm, stop, start, restart, upgrade, version):
        command(other)


def run(
    settings: Settings,
    no_watch: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-watch", envvar="MOUNTCTL_NO_WATCH", help="Reload only when told to.")
    ] = False,
    fd_holder: Annotated[
        FdHolder,
        typer.Option(
            "--fd-holder",
            envvar="MOUNTCTL_FD_HOLDER",
            help="Who keeps mounts when this supervisor ends. `own`: systemd, or a process of its own; `external`: a "
            "holder that somebody else runs at holder.sock in the runtime directory, as `mountctl csi-node` does.",
        ),
    ] = FdHolder.OWN,
    leave_seconds: Annotated[
        float,
        typer.Option(
            "--leave-seconds",
            envvar="MOUNTCTL_LEAVE_SECONDS",
            metavar="SECONDS",
            min=0,
            help="How long the end waits for an external holder to have all.",
        ),
    ] = 20.0,
) -> int:
    """Mount all that the configuration file declares and keep it so, in the foreground."""
    # What is imported stays: to look for garbage in it meanwhile takes a tenth of the time, and programs may wait.
    gc.disable()
    from mountctl.commands import run as body

    gc.freeze()
    gc.enable()
    return body.run(
        settings.config,
        settings.runtime_dir,
        settings.state_dir,
        watch=not no_watch,
        leave_seconds=leave_seconds if fd_holder is FdHolder.EXTERNAL else None,
    )


def plan(settings: Settings, as_json: AsJson = False) -> int:  # noqa: FBT002
    """Show what a reload would do, mount by mount; touch nothing. Exit code 0: nothing, 2: changes, 1: an error."""
    from mountctl.commands import plan as body

    return body.plan(settings.runtime_dir, as_json=as_json)


def status(
    settings: Settings,
    names: SomeNames = None,
    as_json: AsJson = False,  # noqa: FBT002
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show changes as they happen.")] = False,  # noqa: FBT002
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours, also on a terminal.")] = False,  # noqa: FBT002
    pod: Annotated[str | None, typer.Option(metavar="NAMESPACE/NAME", help="Volumes that this pod uses only.")] = None,
    alive: Annotated[bool, typer.Option("--alive", help="Say nothing; exit code 0 if a supervisor answers.")] = False,  # noqa: FBT002
) -> int:
    """Show all mounts. Exit code 0: all ready, 3: degraded, 4: nothing is served, or there is no supervisor."""
    if pod is not None and (watch or names):
        raise typer.BadParameter("not with --watch, nor with names", param_hint="--pod")
    if watch:
        from mountctl.commands import status_watch

        return status_watch.watch(settings.runtime_dir, names or [], as_json=as_json, no_color=no_color)
    from mountctl.commands import status as body

    if pod is not None:
        return body.of_pod(settings.runtime_dir, pod, as_json=as_json, no_color=no_color)
    return body.status(settings.runtime_dir, names or [], as_json=as_json, no_color=no_color, alive=alive)


def metrics(
    settings: Settings,
    openmetrics: Annotated[bool, typer.Option("--openmetrics", help="As OpenMetrics, not as Prometheus.")] = False,  # noqa: FBT002
    textfile: Annotated[
        Path | None,
        typer.Option("--textfile", metavar="PATH", help="Write them there, for node_exporter's textfile collector."),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option("--otlp", metavar="URL", help="Go on, and push them by OTLP over HTTP: http://localhost:4318."),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=1, help="How often they are pushed.")
    ] = 60.0,
    log_format: LogFormatOption = None,
) -> int:
    """Print the metrics of all mounts, or hand them on."""
    from mountctl.commands import metrics as body

    if otlp is not None:
        return body.push(settings.runtime_dir, otlp, interval, log_format)
    if textfile is not None:
        return body.write(settings.runtime_dir, textfile)
    return body.show(settings.runtime_dir, openmetrics=openmetrics)


def events(
    settings: Settings,
    names: SomeNames = None,
    follow: Follow = False,  # noqa: FBT002
    since: Annotated[int, typer.Option("--since", metavar="ID", min=0, help="Only those after this one.")] = 0,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Show what has happened: changes of states, reloads, engines that died, trouble of S3."""
    from mountctl.commands import events as body

    return body.events(settings.runtime_dir, names or (), since=since, follow=follow, as_json=as_json)


def logs(
    settings: Settings,
    name: Name,
    follow: Follow = False,  # noqa: FBT002
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many of the last.")] = 100,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Show a mount's log, wherever it is, and say where that is."""
    from mountctl.commands import logs as body

    return body.logs(settings.runtime_dir, name, count=lines, follow=follow, as_json=as_json)


def log_level(
    settings: Settings,
    name: Name,
    level: Annotated[
        str, typer.Argument(metavar="LEVEL", help="debug, info, warning, error, or default: as the file says.")
    ],
    seconds: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=1, help="Then as the file says. [default: until a reload]"),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Change what a mount logs while it runs; nothing else of it changes."""
    from mountctl.commands import log_level as body

    return body.log_level(settings.runtime_dir, name, level, seconds, as_json=as_json)


def wait(
    settings: Settings,
    names: SomeNames = None,
    every: Annotated[bool, typer.Option("--all", help="All mounts that there are.")] = False,  # noqa: FBT002
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", metavar="STATE", help="As in `status`, or `gone`; may be repeated: any. [default: ready]"
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="Then give up. [default: never]")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Wait until mounts are ready, or in another state. Exit code 124: not in time, 4: failed or held, so in vain."""
    from mountctl.commands import wait as body

    return body.wait(settings.runtime_dir, names or (), state or ["ready"], timeout, every=every, as_json=as_json)


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
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Have the supervisor read its file again and make it so; an error in it changes nothing."""
    from mountctl.commands import reload as body

    return body.reload(settings.runtime_dir, yes=yes, atomic=atomic, only=only or (), confirm=confirm, as_json=as_json)


def confirm(settings: Settings, as_json: AsJson = False) -> int:  # noqa: FBT002
    """Keep what `reload --confirm` has put in force, for good."""
    from mountctl.commands import reload as body

    return body.confirm(settings.runtime_dir, as_json=as_json)


def stop(
    settings: Settings,
    names: Names,
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0, help="For what is being written.")
    ] = 30.0,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Unmount mounts and keep them so, over reloads and reboots, until `mountctl start`."""
    from mountctl.commands import hold as body

    return body.stop(settings.runtime_dir, names, deadline, as_json=as_json)


def start(settings: Settings, names: Names, as_json: AsJson = False) -> int:  # noqa: FBT002
    """Mount again what `mountctl stop` has unmounted."""
    from mountctl.commands import hold as body

    return body.start(settings.runtime_dir, names, as_json=as_json)


def restart(settings: Settings, names: Names, as_json: AsJson = False) -> int:  # noqa: FBT002
    """Have a new engine serve a mount, or try again at once one that failed or waits for its next try."""
    from mountctl.commands import restart as body

    return body.restart(settings.runtime_dir, names, as_json=as_json)


def upgrade(
    settings: Settings,
    others: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--others",
            help="Those of all other supervisors on this host that run this installation, such as fstab's. This one's "
            "are left alone.",
        ),
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
) -> int:
    """Have all mounts served by the engine that is installed now; programs that use them notice nothing."""
    from mountctl.commands import upgrade as body

    change = body.upgrade_others if others else body.upgrade
    return change(settings.runtime_dir, as_json=as_json)


def version(_settings: Settings, as_json: AsJson = False) -> int:  # noqa: FBT002
    """Print the version."""
    text = f'{{"version": "{engine.__version__}"}}' if as_json else f"mountctl {engine.__version__}"
    sys.stdout.write(f"{text}\n")
    return 0
