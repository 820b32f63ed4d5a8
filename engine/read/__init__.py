"""Reading ahead: Prefetcher (one an engine) and ReadStream (one an open file)."""

from engine.read.prefetcher import Prefetcher
from engine.read.stream import ReadStream

__all__ = ["Prefetcher", "ReadStream"]
