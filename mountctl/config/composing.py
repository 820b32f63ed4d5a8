"""A mount that no file declares, put together of a file's tables and its own options: defaults < templates < options.

Called by supervisor/volumes. Pure. What is wrong is told in the words of `mountctl check`, without a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.spec import MountSpec
from mountctl.config import values
from mountctl.config.model import Shared
from mountctl.config.tables import USE, unknown_option
from mountctl.config.words import did_you_mean, one_line
from mountctl.errors import MountctlError

# What whoever has the volume made says by other means.
_SAID_ELSEWHERE = ("name", "mountpoint", USE)


class CannotCompose(MountctlError):
    """The parts make no mount; the message says why, in a sentence."""


def compose(name: str, mountpoint: str, shared: Shared, use: Sequence[str], options: Mapping[str, Any]) -> MountSpec:
    """The mount. Raises CannotCompose, with all that is wrong.

    Args:
        name: the mount's.
        mountpoint: where it is to be.
        shared: the file's tables.
        use: names of templates; of several, the last wins.
        options: by keys of TOML; they win over all.
    """
    if problems := [*_unknown(shared, use, options)]:
        raise CannotCompose(one_line("; ".join(problems)))
    whole = dict(shared.defaults)
    for each in use:
        whole |= shared.templates[each]
    spec, faults = values.judge(MountSpec, {**whole, **options, "name": name, "mountpoint": mountpoint})
    if spec is None:
        told = [f"{fault.key}: {fault.reason}" if fault.key else fault.reason for fault in faults]
        raise CannotCompose(one_line("; ".join(told)))
    return spec


def _unknown(shared: Shared, use: Sequence[str], options: Mapping[str, Any]) -> Iterator[str]:
    for key in options:
        if key in _SAID_ELSEWHERE:
            yield f"{key}: not an option of a volume"
        elif (reason := unknown_option(key)) is not None:
            yield f"{key}: {reason}"
    for each in use:
        if each not in shared.templates:
            yield f"no template {each!r}{did_you_mean(each, tuple(shared.templates))}"
