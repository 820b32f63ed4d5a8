"""What an engine leaves of the files that are being written, while no other one has it. Owned by its session.

Descriptors that only engines understand (engine/fs/moving.py). They are kept for the next supervisor too, from when an
engine has handed over until another one serves: whoever dies in between, the one that serves in the end gets them. The
first that takes them marks them as taken, before it serves, so nobody goes on with what was left long ago.
"""

import os
from dataclasses import dataclass
from typing import Final

_KIND: Final = "bequest"
# As many as engine/fs/moving.py makes: fewer is what a supervisor that died has not come to keep.
_COUNT: Final = 2


@dataclass
class Bequest:
    """It; empty if there is nothing.

    Args:
        generation: of the engine that left it, by which it is kept, so that two are never mixed.
        fds: owned.
    """

    generation: int = 0
    fds: tuple[int, ...] = ()

    @property
    def kept(self) -> dict[str, int]:
        """What a supervisor after this one needs, by kind."""
        return {f"{_KIND}-{self.generation}-{number}": fd for number, fd in enumerate(self.fds)}

    def close(self) -> None:
        """Let go of it: another engine has it, or nobody will."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            os.close(fd)


def found(fds: dict[str, int]) -> Bequest:
    """The youngest that is whole among what was kept of a mount. Its descriptors are taken out of there."""
    by_generation: dict[int, dict[int, str]] = {}
    for kind in fds:
        what, _, numbers = kind.partition("-")
        generation, _, number = numbers.partition("-")
        if what == _KIND and generation.isdecimal() and number.isdecimal():
            by_generation.setdefault(int(generation), {})[int(number)] = kind
    for youngest, kinds in sorted(by_generation.items(), reverse=True):
        if set(kinds) == set(range(_COUNT)):
            return Bequest(youngest, tuple(fds.pop(kinds[number]) for number in range(_COUNT)))
    return Bequest()
