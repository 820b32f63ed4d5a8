"""Places on shared mounts for the cases of this directory."""

from collections.abc import Iterator

import pytest

from tests.conformance.sharing import Place, SharedMounts
from tests.servers import S3Server


@pytest.fixture(scope="session")
def shared_mounts() -> Iterator[SharedMounts]:
    """All shared mounts of the run."""
    with SharedMounts() as mounts:
        yield mounts


@pytest.fixture
def place(s3_server: S3Server, shared_mounts: SharedMounts) -> Place:
    """A directory on each server in turn, mounted with the default options.

    Not for cases that delete: rclone climbs and removes what became empty, while somebody lists it, and may then answer
    nobody any more.
    """
    return shared_mounts.place(s3_server)


@pytest.fixture
def able_place(able_server: S3Server, shared_mounts: SharedMounts) -> Place:
    """The same without rclone, for what it can't do: above all for cases that delete."""
    return shared_mounts.place(able_server)


@pytest.fixture
def lasting_place(able_server: S3Server, shared_mounts: SharedMounts) -> Place:
    """A directory of a mount that believes names and attributes for longer than any test takes."""
    return shared_mounts.place(able_server, metadata_ttl=3600)
