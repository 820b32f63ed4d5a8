"""What this process knows of the volumes that are published: so that to publish one again asks nobody.

The supervisor has the truth, and keeps it while this process is replaced; `learn` takes it over. Used by several
threads. No I/O.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mountctl.csi.publish_request import PublishRequest
from mountctl.volume import Apply


@dataclass(frozen=True)
class Use:
    """A volume at a target.

    Args:
        volume_id: CSI's.
        target: the path.
        name: of the mount.
        read_only: at this target.
        request: what was asked for; None: by somebody before this process was there.
        apply: what the supervisor was asked for; None as above.
    """

    volume_id: str
    target: str
    name: str
    read_only: bool
    request: PublishRequest | None = None
    apply: Apply | None = None

    def fits(self, request: PublishRequest) -> bool:
        """Whether what is there serves a request for the same target."""
        if self.request is not None:
            return self.request.fits(request)
        return (self.volume_id, self.read_only) == (request.volume_id, request.read_only)

    def asked(self, request: PublishRequest) -> "Use":
        """The same, now that it is known what was asked for."""
        return self if self.request is not None else replace(self, request=request)


class Published:
    """Uses by their targets, and names of mounts that may be forgotten.

    Args:
        forget: called with the name of a mount that is gone: its credentials are of no use.
    """

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._mutex = threading.RLock()
        self._uses: dict[str, Use] = {}
        self._forget = forget
        self._under_way: Counter[str] = Counter()
        self._gone: defaultdict[str, set[str]] = defaultdict(set)
        self._learning: list[set[str]] = []  # for each who asks the supervisor: targets that were dropped meanwhile
        self.complete = False  # it is known what the supervisor knows

    def at(self, target: str) -> Use | None:
        """What is at a target."""
        with self._mutex:
            return self._uses.get(target)

    def elsewhere(self, volume_id: str, target: str) -> Use | None:
        """Another target of a volume."""
        with self._mutex:
            return next((u for u in self._uses.values() if u.volume_id == volume_id and u.target != target), None)

    def remember(self, use: Use) -> None:
        """A volume is at a target now."""
        with self._mutex:
            self._uses[use.target] = use

    def learn(self, ask: Callable[[], list[Use]]) -> None:
        """Take over what the supervisor knows. What this process knows itself, or comes to know meanwhile, is newer.

        Args:
            ask: asks the supervisor.
        """
        dropped = set[str]()
        with self._mutex:
            self._learning.append(dropped)
        try:
            uses = ask()
            with self._mutex:
                self._uses = {use.target: use for use in uses if use.target not in dropped} | self._uses
                self.complete = True
        finally:
            with self._mutex:
                self._learning = [each for each in self._learning if each is not dropped]

    def drop(self, target: str) -> None:
        """There is nothing at a target any more."""
        with self._mutex:
            self._uses.pop(target, None)
            for dropped in self._learning:
                dropped.add(target)

    @contextmanager
    def publishing(self, volume_id: str) -> Iterator[None]:
        """While this lasts nothing of the volume is forgotten: another mount of the same name may be on its way."""
        with self._mutex:
            self._under_way[volume_id] += 1
        try:
            yield
        finally:
            with self._mutex:
                self._under_way[volume_id] -= 1
                if not self._under_way[volume_id]:
                    del self._under_way[volume_id]
                    for name in self._gone.pop(volume_id, ()):
                        self._forget_unused(name)

    def gone(self, volume_id: str, name: str) -> None:
        """A mount has ended, or did not come about: forget it, unless a target of the volume has it or gets it."""
        with self._mutex:
            if self._under_way[volume_id]:
                self._gone[volume_id].add(name)
            else:
                self._forget_unused(name)

    def _forget_unused(self, name: str) -> None:
        if not any(use.name == name for use in self._uses.values()):
            self._forget(name)
