"""A volume as the supervisor knows it, and what of it is kept for supervisors after this one. No I/O."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import trio
from pydantic import BaseModel, ConfigDict

from engine.spec import MountSpec
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.volume import Apply, Consumer, VolumeStatus


class Request(BaseModel):
    """What was asked for, without the consumer: the same for all that share the volume."""

    model_config = ConfigDict(frozen=True)

    options: dict[str, Any]
    use: tuple[str, ...] = ()
    inline: bool = False
    driver: str = ""

    @classmethod
    def of(cls, asked: Apply) -> "Request":
        """That of an Apply."""
        return cls(options=asked.options, use=asked.use, inline=asked.inline, driver=asked.driver)


class KeptVolume(BaseModel):
    """A volume in the state file.

    Args:
        request: what was asked for.
        spec: what it came to last, for when its templates are gone.
        consumers: those that there are.
    """

    model_config = ConfigDict(frozen=True)

    request: Request
    spec: MountSpec
    consumers: list[Consumer]


@dataclass
class Bound:
    """A consumer, and how it is with its target.

    Args:
        consumer: as it was asked for.
        place: the target without symbolic links, as far as it was looked at.
        minor: of the session that is seen there, as far as is known; -1: not known.
        binding: somebody has it bound to another session just now.
    """

    consumer: Consumer
    place: str
    minor: int = -1
    binding: bool = False


@dataclass
class Volume:
    """One that has consumers, or soon has, or has had until lately.

    Args:
        name: the mount's.
        request: what was asked for.
        spec: what it came to last.
        consumers: by their targets.
        from_kernel: nobody has asked this supervisor for it: it was found mounted, and what is known is the kernel's.
    """

    name: str
    request: Request
    spec: MountSpec
    consumers: dict[str, Bound] = field(default_factory=dict)
    from_kernel: bool = False

    def __post_init__(self) -> None:
        self.changing = trio.Lock()  # whoever starts or ends its mount
        self.claims = 0  # applies that are at work: it does not end under their hands
        self.attempts = 0  # to start its mount that have failed
        self.failure: CannotApply | None = None  # the last one's
        self.idle_since = math.inf
        self.ended = trio.Event()

    @property
    def in_use(self) -> bool:
        """Somebody has it, or is about to."""
        return bool(self.consumers) or self.claims > 0

    def status(self, waiting: Iterable[str], trouble: str | None) -> VolumeStatus:
        """What `status` tells of it."""
        return VolumeStatus(
            driver=self.request.driver,
            inline=self.request.inline,
            use=list(self.request.use),
            waiting_keys=list(waiting),
            trouble=trouble,
            consumers=[each.consumer for each in self.consumers.values()],
        )

    def kept(self, running: MountSpec | None) -> KeptVolume:
        """What the state file has of it; `running`: as its mount is now, if there is one."""
        consumers = [each.consumer for each in self.consumers.values()]
        return KeptVolume(request=self.request, spec=running or self.spec, consumers=consumers)
