"""What is below a prefix is deleted also by servers that can't do all that Amazon's does."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from botocore.exceptions import ClientError

from mountctl.csi.refusal import Refusal
from mountctl.csi.s3_removal import remove_below


class Server:
    """A client of a server with these objects, which refuses some methods, each with its words."""

    def __init__(self, keys: list[str], **refuses: tuple[str, int]) -> None:
        self.keys = set(keys)
        self._refuses = refuses
        self.ignores = False

    def list_object_versions(self, **asked: Any) -> dict[str, Any]:
        self._can("list_object_versions")
        return {"Versions": [{"Key": key, "VersionId": "null"} for key in self._below(asked)]}

    def list_objects_v2(self, **asked: Any) -> dict[str, Any]:
        return {"Contents": [{"Key": key} for key in self._below(asked)]}

    def delete_objects(self, **asked: Any) -> dict[str, Any]:
        self._can("delete_objects")
        if not self.ignores:
            self.keys -= {each["Key"] for each in asked["Delete"]["Objects"]}
        return {}

    def delete_object(self, **asked: Any) -> None:
        self.keys.remove(asked["Key"])

    def get_paginator(self, method: str) -> "Server":
        assert method == "list_multipart_uploads"
        return self

    def paginate(self, **_asked: Any) -> Iterator[dict[str, Any]]:
        self._can("list_multipart_uploads")
        yield {}

    def _below(self, asked: dict[str, Any]) -> list[str]:
        return sorted(key for key in self.keys if key.startswith(asked["Prefix"]))[: asked["MaxKeys"]]

    def _can(self, method: str) -> None:
        if method in self._refuses:
            code, status = self._refuses[method]
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, method)


KEYS = ["v/1", "v/2", "v/d/3", "w/1", "v"]


@pytest.mark.parametrize(
    "refuses",
    [
        {},
        {"list_object_versions": ("NotImplemented", 501)},
        {"list_object_versions": ("MethodNotAllowed", 405), "delete_objects": ("NotImplemented", 501)},
        {"delete_objects": ("MissingContentMD5", 400)},
        {"list_multipart_uploads": ("NotImplemented", 501)},
    ],
)
def test_what_a_server_has_not_got_is_done_without(refuses: dict[str, tuple[str, int]]) -> None:
    server = Server(KEYS, **refuses)

    assert remove_below(server, "bucket", "v/", lambda: True) == 3
    assert server.keys == {"w/1", "v"}


@pytest.mark.parametrize("method", ["list_object_versions", "delete_objects", "list_multipart_uploads"])
def test_what_may_not_be_done_is_not_gone_around(method: str) -> None:
    server = Server(KEYS, **{method: ("AccessDenied", 403)})

    with pytest.raises(Refusal) as refused:
        remove_below(server, "bucket", "v/", lambda: True)

    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert server.keys == set(KEYS)


def test_a_server_that_says_so_and_deletes_nothing_is_not_asked_for_ever() -> None:
    server = Server(KEYS)
    server.ignores = True

    with pytest.raises(Refusal, match="still lists them"):
        remove_below(server, "bucket", "v/", lambda: True)
