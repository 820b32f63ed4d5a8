"""A mount and its access, for tests of what S3 is asked about before it is mounted."""

from typing import Final

from pydantic import SecretStr

from engine.link import Access, Credentials
from engine.spec import MountSpec

SPEC: Final = MountSpec(name="m", bucket="bucket", prefix="p/", mountpoint="/mnt", endpoint_url="http://s3:9000")
ACCESS: Final = Access(
    name="m",
    endpoint="http://s3:9000/bucket",
    region="us-east-1",
    credentials=Credentials(access_key="AKID", secret_key=SecretStr("hidden")),
)
