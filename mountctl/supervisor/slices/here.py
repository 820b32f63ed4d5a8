"""Whether this host can meet what a mount asks for, before it runs: for `mountctl check` and `doctor`."""

from engine.spec import MountSpec
from mountctl.supervisor.slices import cgroups
from mountctl.supervisor.slices.asking import no_systemd
from mountctl.supervisor.slices.units import asked


def unmet(spec: MountSpec) -> str | None:
    """Which limits of a mount can't be had on this host, and why; None: all can, or it asks for none."""
    if not (keys := asked(spec)):
        return None
    if (reason := no_systemd()) is not None:
        return f"{', '.join(keys)}: {reason}"
    return "; ".join(cgroups.lacking(spec)) or None
