"""Names that are not there, as the kernel sees them: how often S3 is asked, and who may find them again."""

import os

from tests.fuse.mounted import Mounted
from tests.servers import S3Server


def requests(mounted: Mounted) -> dict[str, int]:
    """Unmount; the requests to S3 that there were, but for the mount's own."""
    return {name: count for name, count in mounted.stop()["s3_requests"].items() if name == "HeadObject"}


def test_with_a_negative_ttl_a_missing_name_is_asked_for_once(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket, negative_metadata_ttl="indefinite") as mounted:
        for _ in range(20):
            assert not (mounted.path / "gone").exists()
        assert requests(mounted) == {"HeadObject": 1}


def test_without_one_it_is_asked_for_each_time(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket, metadata_ttl=60, negative_metadata_ttl="minimal") as mounted:
        for _ in range(5):
            assert not (mounted.path / "gone").exists()
        assert requests(mounted) == {"HeadObject": 5}


def test_a_listing_finds_a_name_that_was_believed_to_be_missing(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket, negative_metadata_ttl="indefinite") as mounted:
        assert not (mounted.path / "late").exists()
        able_server.put(bucket, "late", b"here now")
        assert not (mounted.path / "late").exists()
        assert [entry.name for entry in os.scandir(mounted.path)] == ["late"]
        assert (mounted.path / "late").read_bytes() == b"here now"
