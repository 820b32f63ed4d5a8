"""What a call on a mount is refused with."""

from collections.abc import Callable

import pytest


def refused(call: Callable[[], object]) -> int:
    """The errno of the OSError that `call` ends in; a call that is not refused fails the test."""
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno is not None
    return caught.value.errno
