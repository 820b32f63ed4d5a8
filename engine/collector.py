"""Python's cyclic garbage collector, paused where much is made and nothing of it can be garbage yet.

Used by assembly.py for what an engine begins with, and by mountctl/control/pages.py for metrics.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """What is made in here is not searched again and again. Not around an await, nor in another such block."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
