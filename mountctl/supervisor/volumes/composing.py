"""What a volume's mount is to be, by the configuration in force: composed anew at each reload. Pure."""

from fnmatch import fnmatchcase

from pydantic import ValidationError

from engine.spec import MountSpec
from mountctl.config.classes import PLACE, ChangeClass, class_of
from mountctl.config.composing import CannotCompose, compose
from mountctl.config.diff import changed_keys
from mountctl.config.model import Config
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.volumes.model import Request
from mountctl.volume import Cause


def composed(name: str, mountpoint: str, request: Request, config: Config) -> MountSpec:
    """What is asked for. Raises CannotApply."""
    if name in config.mounts:
        raise CannotApply(Cause.INVALID, f"{name}: the configuration has a mount of that name: choose another")
    try:
        spec = compose(name, mountpoint, config.shared, request.use, request.options)
    except CannotCompose as error:
        raise CannotApply(Cause.INVALID, str(error)) from error
    if request.inline and not any(fnmatchcase(spec.bucket, each) for each in config.csi.inline_buckets):
        raise CannotApply(
            Cause.NOT_ALLOWED,
            f"bucket {spec.bucket!r} may not be used by an inline volume: "
            "use a PersistentVolume, or have it added to inline-buckets of the [csi] table",
        )
    return spec


def held_back(wanted: MountSpec, running: MountSpec) -> tuple[MountSpec, tuple[str, ...]]:
    """What a mount that has consumers can become now, and the keys that wait until it has none.

    Another session would take the files that consumers have open away, so what needs one waits.
    """
    waiting = tuple(
        key for key in changed_keys(running, wanted) if key == PLACE or class_of([key]) is ChangeClass.REPLACE
    )
    if not waiting:
        return wanted, ()
    kept = {key.replace("-", "_"): getattr(running, key.replace("-", "_")) for key in waiting}
    try:
        return MountSpec.model_validate(dict(wanted) | kept), waiting
    except ValidationError:  # what waits and what does not don't go together
        return running, changed_keys(running, wanted)
