"""How long names and attributes are believed: the rule behind `metadata-ttl` and `negative-metadata-ttl`.

Used by lookup, listing and the file system. Pure.
"""

from dataclasses import dataclass
from typing import Final

from engine.spec import TTL_MAX_SECONDS, Ttl

# Mountpoint's `minimal`, in seconds: so short that nobody notices, and long enough for the kernel to ask once where
# one path operation needs an attribute several times.
FILE_SECONDS_MINIMAL: Final = 0.1
DIRECTORY_SECONDS_MINIMAL: Final = 1.0


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds that an answer about a name is believed.

    Args:
        file: for a file's name and attributes.
        directory: for a directory's.
        missing: for the answer that there is no such name; 0: it is not kept at all.
        trusted: lookup and open may be answered without S3 while the last answer is believed.
    """

    file: float
    directory: float
    missing: float
    trusted: bool

    def of(self, *, directory: bool) -> float:
        """Seconds for one kind."""
        return self.directory if directory else self.file


def lifetimes(ttl: Ttl, negative: Ttl | None = None) -> Lifetimes:
    """The options' meaning; 0 seconds is `minimal`, as in Mountpoint. `negative`: None is the same as `ttl`."""
    missing = _seconds(ttl if negative is None else negative)
    if (seconds := _seconds(ttl)) == 0.0:
        return Lifetimes(FILE_SECONDS_MINIMAL, DIRECTORY_SECONDS_MINIMAL, missing, trusted=False)
    return Lifetimes(seconds, seconds, missing, trusted=True)


def _seconds(ttl: Ttl) -> float:
    if ttl == "minimal":
        return 0.0
    return float(TTL_MAX_SECONDS if ttl == "indefinite" else ttl)
