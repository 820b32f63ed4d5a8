"""The attributes of a volume: all of theirs, and ours."""

from decimal import Decimal

import pytest

from mountctl.csi import quantity
from mountctl.csi.attributes import Attributes, parse
from mountctl.csi.publish_request import Source
from mountctl.csi.refusal import InvalidArgument

B = {"bucketName": "bucket"}
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def refusal(**more: str) -> str:
    with pytest.raises(InvalidArgument) as error:
        parse(B | more)
    return str(error.value)


def test_a_bucket_is_all_that_it_takes() -> None:
    assert parse(B) == Attributes(bucket="bucket")


def test_a_volume_without_a_bucket_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^volume attribute bucketName is missing: it names the bucket$"):
        parse({})
    with pytest.raises(InvalidArgument, match=r"\(there is bucketname: did you mean bucketName\?\)$"):
        parse({"bucketname": "bucket"})


@pytest.mark.parametrize(
    ("key", "option"), [("prefix", "prefix"), ("endpointUrl", "endpoint-url"), ("region", "region")]
)
def test_attributes_that_are_options(key: str, option: str) -> None:
    assert parse(B | {key: "value/"}).options == {option: "value/"}


def test_path_style_is_true_or_false() -> None:
    assert parse(B | {"pathStyle": "true"}).options == {"force-path-style": True}
    assert parse(B | {"pathStyle": "false"}).options == {}
    assert refusal(pathStyle="True") == 'volume attribute pathStyle must be "true" or "false", not "True"'


@pytest.mark.parametrize("source", [*Source])
def test_every_source_of_credentials_is_known(source: Source) -> None:
    assert parse(B | {"authenticationSource": source.value}).source is source


def test_another_source_of_credentials_is_refused() -> None:
    assert refusal(authenticationSource="secrets") == (
        'volume attribute authenticationSource must be driver, pod or secret, not "secrets": did you mean secret?'
    )


def test_what_credentials_want_to_know() -> None:
    told = parse(B | {"stsRegion": "eu-west-1", "roleArn": "arn:aws:iam::1:role/r"})
    assert (told.sts_region, told.role_arn) == ("eu-west-1", "arn:aws:iam::1:role/r")


def test_certificates_are_a_file_or_a_text() -> None:
    assert parse(B | {"caBundle": "/etc/ca.pem"}).options == {"ca-bundle": "/etc/ca.pem"}
    told = parse(B | {"caBundle": PEM})
    assert (told.options, told.ca_certificates) == ({}, PEM)


def test_a_profile_is_a_template() -> None:
    assert parse(B | {"profile": "fast"}).templates == ("fast",)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", ()),
        ("allow-delete", ("allow-delete",)),
        ("allow-delete, region=x", ("allow-delete", "region=x")),
        ("allow-delete\nregion x\n", ("allow-delete", "region x")),
        ("prefix=a\\,b/,allow-delete", ("prefix=a,b/", "allow-delete")),
    ],
)
def test_mount_options_of_a_volume_without_a_list_of_them(text: str, items: tuple[str, ...]) -> None:
    assert parse(B | {"mountOptions": text}).mount_options == items


def test_mount_options_that_end_in_the_middle_are_refused() -> None:
    assert refusal(mountOptions="a\\").startswith("volume attribute mountOptions: the options end in a backslash")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cache", "emptyDir"),
        ("cacheEmptyDirSizeLimit", "100Mi"),
        ("cacheEmptyDirMedium", "Memory"),
        ("cacheEmptyDirMedium", ""),
        ("cacheEphemeralStorageClassName", "class"),
        ("cacheEphemeralStorageResourceRequest", "10Gi"),
        ("mountpointContainerResourcesRequestsCpu", "500m"),
        ("mountpointContainerResourcesRequestsMemory", "2Gi"),
        ("mountpointContainerResourcesLimitsCpu", "1.5"),
        ("mountpointPodServiceAccountName", "account"),
    ],
)
def test_what_has_no_effect_here_is_accepted_and_told(key: str, value: str) -> None:
    told = parse(B | {key: value})
    assert told.options == {}
    (note,) = told.notes
    assert note.startswith(f"volume attribute {key} has no effect: ")


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"cache": "emptydir"}, 'volume attribute cache must be emptyDir or ephemeral, not "emptydir"'),
        ({"cacheEmptyDirSizeLimit": "1 GB"}, "volume attribute cacheEmptyDirSizeLimit must be a quantity such as"),
        ({"cacheEmptyDirMedium": "memory"}, "volume attribute cacheEmptyDirMedium must be Memory or empty"),
        (
            {"cache": "ephemeral", "cacheEphemeralStorageClassName": "c"},
            "volume attribute cache ephemeral needs cacheEphemeralStorageResourceRequest",
        ),
        (
            {"cache": "ephemeral"},
            "volume attribute cache ephemeral needs cacheEphemeralStorageClassName and cacheEphemeralStorageResource",
        ),
        ({"cacheEphemeralStorageResourceRequest": "x"}, "volume attribute cacheEphemeralStorageResourceRequest must"),
        (
            {"mountpointContainerResourcesLimitsCpu": "-1"},
            "volume attribute mountpointContainerResourcesLimitsCpu must",
        ),
        (
            {"mountpointContainerResourcesLimitsMemory": "x"},
            "volume attribute mountpointContainerResourcesLimitsMemory",
        ),
        ({"mountpointEnv.AWS_SECRET_ACCESS_KEY": "x"}, "volume attribute "),
        ({"mountpointEnv.HTTP_PROXY": "x"}, 'volume attribute "mountpointEnv.HTTP_PROXY" can\'t be set: only'),
        ({"endpointURL": "x"}, 'unknown volume attribute "endpointURL": did you mean endpointUrl?'),
        ({"nonsense": "x"}, 'unknown volume attribute "nonsense"'),
    ],
)
def test_what_is_wrong_is_told(attributes: dict[str, str], sentence: str) -> None:
    assert refusal(**attributes).startswith(sentence)


def test_a_cache_that_their_driver_would_make_is_noted_for_the_options() -> None:
    told = parse(B | {"cache": "emptyDir", "cacheEmptyDirSizeLimit": "1Gi"})
    assert (told.has_cache, told.cache_size_limit) == (True, Decimal(1024**3))


def test_a_limit_of_memory_is_an_amount() -> None:
    assert parse(B | {"mountpointContainerResourcesLimitsMemory": "1Gi"}).memory_limit == Decimal(1024**3)


def test_proxies_are_variables() -> None:
    told = parse(B | {"mountpointEnv.HTTPS_PROXY": "http://proxy:3128", "mountpointEnv.NO_PROXY": "169.254.169.254"})
    assert told.environment == {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "169.254.169.254"}


@pytest.mark.parametrize(
    "key",
    [
        "csi.storage.k8s.io/pod.name",
        "csi.storage.k8s.io/serviceAccount.tokens",
        "csi.storage.k8s.io/something.new",
        "storage.kubernetes.io/csiProvisionerIdentity",
    ],
)
def test_what_kubernetes_adds_is_passed_by(key: str) -> None:
    assert parse(B | {key: "value"}) == Attributes(bucket="bucket")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("100", "100"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        (".5", "0.5"),
        ("2.", "2"),
        ("500m", "0.5"),
        ("1k", "1000"),
        ("2M", "2000000"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
    ],
)
def test_quantities(text: str, amount: str) -> None:
    assert quantity.parse(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "-1", "1 Gi", "1GB", "Gi", "1e", "0x1", "1e999", "1" * 50, "one", "1\n"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(quantity.NoQuantity):
        quantity.parse(text)
