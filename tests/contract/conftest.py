"""A bucket of each kind, for every promise."""

from collections.abc import Iterator

import pytest

from tests.contract.buckets import Bucket, MemoryBucket, ServerBucket
from tests.servers import S3Server, VersityServer


@pytest.fixture(scope="session")
def versitygw() -> Iterator[S3Server]:
    if VersityServer.program() is None:
        pytest.skip("versitygw is not installed (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0)")
    with VersityServer() as server:
        yield server


@pytest.fixture(params=["memory", "moto", "rclone", pytest.param("versitygw", marks=pytest.mark.slow)])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    if request.param == "memory":
        yield MemoryBucket()
    else:
        yield ServerBucket(request.getfixturevalue(request.param))
