"""Where a volume may be bound: the rules for a target's path. Pure, but for `found`, which asks the file system."""

import os
from pathlib import PurePosixPath

from engine.spec import PATH_BYTES_MAX, PATH_COMPONENT_BYTES_MAX
from mountctl.supervisor import mountinfo
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.volume import Cause


def normal(target: str) -> str:
    """A target's path in its normal form. Raises CannotApply."""
    path = PurePosixPath(target)
    if not path.is_absolute() or "\0" in target:
        raise _wrong(target, "must be an absolute path")
    if ".." in path.parts:
        raise _wrong(target, "must not contain '..'")
    if len(path.parts) == 1:
        raise _wrong(target, "must not be '/'")
    if len(target.encode(errors="surrogateescape")) > PATH_BYTES_MAX or any(
        len(part.encode(errors="surrogateescape")) > PATH_COMPONENT_BYTES_MAX for part in path.parts
    ):
        raise _wrong(target[:PATH_COMPONENT_BYTES_MAX], "is too long for a path")
    return str(PurePosixPath("/", *path.parts[1:]))  # POSIX lets two slashes in front mean something else


def judge(target: str, directory: str | None) -> None:
    """Whether it may be used, by its words. Raises CannotApply.

    Args:
        target: in its normal form.
        directory: all must be below; None: anywhere.
    """
    if directory is not None and not _is_below(target, directory):
        raise _wrong(target, f"must be below {directory} (target-directory of the [csi] table)")


def found(target: str, directory: str | None) -> str:
    """Where it is, without symbolic links. Call when the directory that it is in has answered. Raises CannotApply."""
    parent, name = os.path.split(target)
    real = os.path.realpath(parent)
    if not os.path.isdir(real):
        raise _wrong(target, "there is no directory for it to be in: whoever asks makes that")
    place = os.path.join(real, name)
    if mountinfo.at(place) is None:  # or it is a mount's root, which may hang
        if os.path.islink(place):
            raise _wrong(target, "is a symbolic link: a volume is bound at a directory")
        if os.path.lexists(place) and not os.path.isdir(place):
            raise _wrong(target, "is not a directory")
    if directory is not None and not _is_below(place, os.path.realpath(directory)):
        raise _wrong(target, f"leads to {place}, which is not below {directory} (target-directory of the [csi] table)")
    return place


def _is_below(path: str, directory: str) -> bool:
    place, above = PurePosixPath(path), PurePosixPath(directory)
    return place != above and place.is_relative_to(above)


def _wrong(target: str, reason: str) -> CannotApply:
    return CannotApply(Cause.INVALID, f"target {target}: {reason}")
