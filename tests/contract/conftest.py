"""A bucket of each kind, for every promise."""

from collections.abc import Iterator

import pytest

from tests.contract.buckets import Bucket, MemoryBucket, ServerBucket


@pytest.fixture(params=["memory", "moto", "rclone", pytest.param("versitygw", marks=pytest.mark.slow)])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    if request.param == "memory":
        yield MemoryBucket()
    else:
        yield ServerBucket(request.getfixturevalue(request.param))
