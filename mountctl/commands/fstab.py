"""The fstab form: `mount.mountctl SOURCE DIR [-sfnv] [-t TYPE] [-o OPTIONS]`, as mount(8) calls it for a line of type
`mountctl`, and `mountctl mount SOURCE DIR -o OPTIONS`. Called by cli.py.

Returns once the mount can be used. It is given to the supervisor that runs; if there is none, it gets one of its own,
in the background, which ends when the mount is unmounted.
"""

import getopt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.spec import MountSpec
from mountctl.commands.mount import InvalidOptions, spec_from
from mountctl.config.fstab import FstabError, declared, options
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, SupervisorNotRunning
from mountctl.supervisor import mountinfo

# Below a runtime directory that was told: those of mounts whose supervisors are their own.
_ALONE: Final = "mounts"
# mount(8), "EXIT STATUS".
EXIT_USAGE: Final = 1
EXIT_FAILED: Final = 32

# A mount of the file can be used; and how long one is waited for, which is less than systemd gives a mount unit (90 s).
_THERE: Final = ("ready", "degraded")
_DECLARED_SECONDS_MAX: Final = 85.0

_USAGE: Final = "usage: mount.mountctl s3://BUCKET/PREFIX DIR [-sfnv] [-o OPTIONS]"


class WrongCall(MountctlError):
    """Not how mount(8) calls its helpers."""

    exit_code = 2


@dataclass(frozen=True)
class Call:
    """What mount(8) asks for.

    Args:
        source: the bucket.
        directory: the mountpoint.
        options: the option string.
        fake: only look whether it is right (`mount -f`).
        sloppy: pass unknown options by (`mount -s`).
    """

    source: str
    directory: str
    options: str
    fake: bool = False
    sloppy: bool = False


def take_apart(arguments: Sequence[str]) -> Call:
    """The arguments of mount(8). Raises WrongCall."""
    try:
        flags, places = getopt.gnu_getopt(list(arguments), "sfnvN:o:t:")
    except getopt.GetoptError as error:
        raise WrongCall(f"{error}; {_USAGE}") from error
    if len(places) != 2:
        raise WrongCall(_USAGE)
    given = [flag for flag, _ in flags]
    if "-N" in given:
        raise WrongCall("-N: another mount namespace can't be mounted into: call mount there (nsenter)")
    texts = [value for flag, value in flags if flag == "-o"]
    return Call(places[0], places[1], ",".join(texts), fake="-f" in given, sloppy="-s" in given)


def spec_of(call: Call) -> MountSpec:
    """The mount that is asked for. Raises InvalidOptions."""
    try:
        found = options(call.options, sloppy=call.sloppy)
    except FstabError as error:
        raise InvalidOptions(str(error)) from error
    return spec_from(call.source, call.directory, dashes="", **found)


def mount(call: Call, runtime_dir: Path, state_dir: Path, own_runtime_dir: Path | None = None) -> int:
    """Mount, and return 0 when it can be used.

    Args:
        call: what is asked for.
        runtime_dir: of the supervisor that may run.
        state_dir: of one of the mount's own.
        own_runtime_dir: of one of the mount's own, if none does; its name is added. None: `runtime_dir` itself.

    Raises MountctlError: InvalidOptions, and whatever keeps it from being mounted.
    """
    if (name := declared(call.options)) is not None:
        return _wait(runtime_dir, name)
    spec = spec_of(call)
    if call.fake:
        return 0
    if os.geteuid() != 0:
        raise WrongCall("mounting needs root: run it with sudo")
    if _is_automount(spec.mountpoint):
        _mount_alone(spec, (own_runtime_dir or runtime_dir / _ALONE) / spec.name, state_dir)
        return 0
    try:
        ControlClient(runtime_dir).add(spec.model_dump_json(by_alias=True))
    except SupervisorNotRunning:
        _mount_alone(spec, runtime_dir if own_runtime_dir is None else own_runtime_dir / spec.name, state_dir)
    return 0


def _wait(runtime_dir: Path, name: str) -> int:
    """The supervisor mounts it by itself, as its file says."""
    from mountctl.commands import wait

    return wait.wait(runtime_dir, [name], _THERE, _DECLARED_SECONDS_MAX, every=False, as_json=False)


def _is_automount(mountpoint: str) -> bool:
    """At an automount point only processes that systemd started for it may mount: a supervisor would wait for ever."""
    there = mountinfo.at(mountpoint)
    return there is not None and there.fstype == "autofs"


def _mount_alone(spec: MountSpec, runtime_dir: Path, state_dir: Path) -> None:
    from mountctl import background

    background.mount(spec, runtime_dir, state_dir)


def exit_code(code: int) -> int:
    """A command's exit code as mount(8) expects it: 1 for a wrong call, 32 for a mount that failed."""
    return {0: 0, WrongCall.exit_code: EXIT_USAGE}.get(code, EXIT_FAILED)
