"""A StorageClass's parameters: what is right, what is said of what is wrong, and the paths that patterns make."""

import pytest

from mountctl.csi.refusal import InvalidArgument
from mountctl.csi.storage_class import OnDelete, path_below, storage_class

CLAIM = {"csi.storage.k8s.io/pvc/namespace": "team-a", "csi.storage.k8s.io/pvc/name": "data"}


def complaint(**parameters: str) -> str:
    with pytest.raises(InvalidArgument) as refused:
        storage_class({"bucketName": "volumes"} | parameters)
    return str(refused.value)


def test_a_bucket_is_enough_and_data_is_kept() -> None:
    read = storage_class({"bucketName": "volumes"})

    assert read.bucket == "volumes"
    assert read.prefix == ""
    assert read.pattern == "${.PV.name}"
    assert read.on_delete is OnDelete.RETAIN
    assert not read.create_bucket
    assert read.passed_on == {}


def test_everything_that_there_is() -> None:
    read = storage_class(
        CLAIM
        | {
            "bucketName": "volumes",
            "prefix": "cluster/",
            "pathPattern": "${.PVC.namespace}/${.PVC.name}-${.PV.name}",
            "region": "eu-central-1",
            "endpointUrl": "http://s3.example:9000/",
            "pathStyle": "true",
            "onDelete": "delete",
            "createBucket": "true",
            "profile": "fast",
            "authenticationSource": "pod",
            "mountpointEnv.HTTPS_PROXY": "http://proxy:3128",
        }
    )

    assert (read.prefix, read.region, read.endpoint_url) == ("cluster/", "eu-central-1", "http://s3.example:9000")
    assert (read.path_style, read.create_bucket, read.on_delete) == (True, True, OnDelete.DELETE)
    assert read.passed_on == {
        "profile": "fast",
        "authenticationSource": "pod",
        "mountpointEnv.HTTPS_PROXY": "http://proxy:3128",
    }


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"bucketName": ""}, "bucketName: missing"),
        ({"bucketName": "s3://volumes"}, "bucketName: bucket names have only letters"),
        ({"bucket_name": "x"}, "bucket_name: unknown parameter: did you mean bucketName?"),
        ({"endpointURL": "http://x"}, "endpointURL: unknown parameter: did you mean endpointUrl?"),
        ({"mountOptions": "read-only"}, "mountOptions is a field of the StorageClass itself"),
        ({"zzz": "1"}, "zzz: unknown parameter"),
        ({"prefix": "cluster"}, "prefix: must end in '/': write 'cluster/'"),
        ({"prefix": "/cluster/"}, "prefix: must not start with '/'"),
        ({"prefix": "a/../b/"}, "prefix: must not have '.' or '..' as a part"),
        ({"prefix": "a/.mountctl/"}, "prefix: must not have .mountctl as a part"),
        ({"endpointUrl": "s3.example:9000"}, "endpointUrl: must be http://HOST"),
        ({"authenticationSource": "pots"}, "authenticationSource must be driver, pod or secret"),
        ({"mountpointEnv.LD_PRELOAD": "x"}, "mountpointEnv.LD_PRELOAD: unknown parameter"),
        ({"region": ""}, "region: must not be empty"),
        ({"pathStyle": "yes"}, 'pathStyle: must be "true" or "false", not "yes"'),
        ({"createBucket": "1"}, 'createBucket: must be "true" or "false"'),
        ({"onDelete": "Delete"}, 'onDelete: must be "retain" or "delete", not "Delete"'),
        ({"pathPattern": ""}, "pathPattern: is empty"),
        ({"pathPattern": "a//b"}, "pathPattern: must not begin or end with '/', nor have '//' in it"),
        ({"pathPattern": "${.PVC.labels.app}"}, "${.PVC.labels.app} is unknown: there are ${.PV.name}"),
        ({"pathPattern": "${.PV.name"}, "pathPattern: must have only closed ${...}"),
        ({"pathPattern": "../${.PV.name}"}, "pathPattern: must not have '.' or '..' as a part"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(parameters: dict[str, str], told: str) -> None:
    assert told in complaint(**parameters)


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = complaint(prefix="x", onDelete="never", nonsense="1")

    assert all(key in told for key in ("prefix: ", "onDelete: ", "nonsense: "))


def test_what_looks_secret_is_not_repeated() -> None:
    assert "AKIAIOSFODNN7EXAMPLE" not in complaint(onDelete="AKIAIOSFODNN7EXAMPLE", region="")


@pytest.mark.parametrize("pattern", ["${.PVC.namespace}/${.PVC.name}", "${.PV.name}/data"])
def test_volumes_that_are_deleted_must_each_have_their_own_prefix(pattern: str) -> None:
    assert "must have ${.PV.name} in it" in complaint(pathPattern=pattern, onDelete="delete")

    storage_class({"bucketName": "volumes", "pathPattern": pattern})  # what is kept may be found again


def test_what_kubernetes_adds_is_no_parameter() -> None:
    storage_class({"bucketName": "volumes", "csi.storage.k8s.io/pv/name": "pvc-1"} | CLAIM)


def test_a_path_of_the_claims_name() -> None:
    assert path_below("${.PVC.namespace}/${PVC.name}", "pvc-1", CLAIM) == "team-a/data"
    assert path_below("x-${.PV.name}", "pvc-1", {}) == "x-pvc-1"


def test_the_claims_name_was_not_sent() -> None:
    with pytest.raises(InvalidArgument, match="--extra-create-metadata"):
        path_below("${.PVC.name}", "pvc-1", {})


def test_a_claims_name_that_is_no_path() -> None:
    with pytest.raises(InvalidArgument, match="must not have"):
        path_below("${.PVC.name}", "pvc-1", {"csi.storage.k8s.io/pvc/name": ".."})
