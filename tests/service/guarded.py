"""A server that asks who may do what, and a user on it, for tests of permissions."""

import json
import urllib.request
from collections.abc import Iterable
from typing import Final

import botocore.session

from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, MotoServer


class Guarded:
    """A bucket with the object `p/a`, and a user with the keys `access_key` and `secret_key`."""

    def __init__(self, server: MotoServer) -> None:
        self.server = server
        self.bucket: Final = server.bucket()
        server.put(self.bucket, "p/a", b"data")
        self._iam = botocore.session.Session().create_client(
            "iam",
            endpoint_url=server.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        self._iam.create_user(UserName="user")
        keys = self._iam.create_access_key(UserName="user")["AccessKey"]
        self.access_key: Final[str] = keys["AccessKeyId"]
        self.secret_key: Final[str] = keys["SecretAccessKey"]

    def allow(self, permissions: Iterable[str]) -> None:
        """Let the user do just this, anywhere: moto knows no resources here."""
        statement = {"Effect": "Allow", "Action": sorted(permissions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._iam.put_user_policy(UserName="user", PolicyName="p", PolicyDocument=policy)

    def guard(self, *, on: bool) -> None:
        """From now on, everybody is asked for leave; or nobody, for the test to look around."""
        url, free = f"{self.server.endpoint}/moto-api/reset-auth", b"0" if on else b"1000000"
        request = urllib.request.Request(url, data=free, headers={"Content-Type": "text/plain"}, method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()

    def close(self) -> None:
        self._iam.close()
