"""engine/s3/access.py and location.py: where a bucket is, and what botocore's chain finds for it."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.session import Session

from engine.link import Access, Credentials
from engine.s3.access import AccessUnavailable, resolve
from engine.spec import MountSpec
from tests.unit.aws_files import Files


def spec(**options: Any) -> MountSpec:
    return MountSpec(**{"name": "m", "bucket": "my-bucket", "mountpoint": "/mnt/m", **options})


def anonymous(**options: Any) -> Access:
    return resolve(spec(no_sign_request=True, **options))


def found(**options: Any) -> Credentials:
    credentials = resolve(spec(**options)).credentials
    assert credentials is not None
    return credentials


def secret(credentials: Credentials) -> str:
    return credentials.secret_key.get_secret_value()


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(AccessUnavailable) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("options", "endpoint"),
    [
        ({}, "https://my-bucket.s3.us-east-1.amazonaws.com"),
        ({"region": "eu-west-1"}, "https://my-bucket.s3.eu-west-1.amazonaws.com"),
        ({"region": "cn-north-1"}, "https://my-bucket.s3.cn-north-1.amazonaws.com.cn"),
        ({"region": "us-gov-west-1"}, "https://my-bucket.s3.us-gov-west-1.amazonaws.com"),
        ({"force_path_style": True}, "https://s3.us-east-1.amazonaws.com/my-bucket"),
        ({"bucket": "with.dots"}, "https://s3.us-east-1.amazonaws.com/with.dots"),
        ({"endpoint_url": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/my-bucket"),
        ({"endpoint_url": "http://[::1]:9000/"}, "http://[::1]:9000/my-bucket"),
        ({"endpoint_url": "http://s3.test:9000"}, "http://my-bucket.s3.test:9000"),
        ({"endpoint_url": "http://s3.test:9000", "force_path_style": True}, "http://s3.test:9000/my-bucket"),
    ],
)
def test_the_endpoint_follows_the_options_and_the_rules_of_s3(options: dict[str, Any], endpoint: str) -> None:
    assert anonymous(**options).endpoint == endpoint


ACCESS_POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/data"
OBJECT_LAMBDA = "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/data"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/data"


@pytest.mark.parametrize(
    "options",
    [
        {"transfer_acceleration": True},
        {"transfer_acceleration": True, "dual_stack": True},
        {"dual_stack": True},
        {"dual_stack": True, "region": "eu-west-1"},
        {"dual_stack": True, "force_path_style": True},
        {"bucket": ACCESS_POINT},
        {"bucket": ACCESS_POINT.replace("accesspoint/", "accesspoint:"), "dual_stack": True},
        {"bucket": OBJECT_LAMBDA},
        {"bucket": "data-abcdefghij1234567890abcdefghij-s3alias", "transfer_acceleration": True},
    ],
    ids=str,
)
def test_host_region_and_service_are_those_that_botocores_own_client_signs_for(options: dict[str, Any]) -> None:
    ours = anonymous(**options)

    theirs = signed_by_botocore(**options)
    assert f"{ours.endpoint}/key" == theirs.url
    scope = re.search(r"Credential=A/\d+/([^/]+)/([^/]+)/", theirs.headers["Authorization"].decode())
    assert scope is not None
    assert (ours.region, ours.signing_name) == scope.groups()


def signed_by_botocore(
    *,
    bucket: str = "my-bucket",
    region: str = "us-east-1",
    dual_stack: bool = False,
    transfer_acceleration: bool = False,
    force_path_style: bool = False,
) -> AWSPreparedRequest:
    """The GET of `key` that botocore's S3 client would send."""
    style = "path" if force_path_style else "auto"
    config = Config(
        s3={"addressing_style": style, "use_accelerate_endpoint": transfer_acceleration},
        use_dualstack_endpoint=dual_stack,
    )
    client = Session().create_client(
        "s3", region_name=region, config=config, aws_access_key_id="A", aws_secret_access_key="S"
    )
    sent: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, io.BytesIO())

    client.meta.events.register("before-send.s3.GetObject", keep)
    client.get_object(Bucket=bucket, Key="key")
    client.close()
    return sent[0]


def test_an_outposts_access_point_is_signed_plainly_where_botocore_may_choose() -> None:
    access = anonymous(bucket=OUTPOST)

    assert access.endpoint == "https://data-123456789012.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com"
    assert (access.region, access.signing_name) == ("us-west-2", "s3-outposts")


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        ({"transfer_acceleration": True}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "custom endpoint"),
        ({"dual_stack": True}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "custom endpoint"),
        ({"transfer_acceleration": True, "region": "cn-north-1"}, {}, "Accelerate cannot be used in this region"),
        ({"transfer_acceleration": True, "bucket": "with.dots"}, {}, "cannot be used with S3 Accelerate"),
        ({"dual_stack": True, "bucket": OBJECT_LAMBDA}, {}, "does not support Dual-stack"),
    ],
)
def test_what_the_rules_of_s3_do_not_allow_is_told_in_their_words(
    options: dict[str, Any], environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    told = refusal(lambda: anonymous(**options))

    assert said in told
    assert told.startswith("no S3 endpoint for bucket ")


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [({}, {}, False), ({}, {"AWS_REGION": "eu-west-1"}, True), ({"region": "eu-west-1"}, {}, True)],
)
def test_only_the_option_and_aws_region_are_a_choice_of_region(
    options: dict[str, Any], environment: dict[str, str], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert anonymous(**options).region_told is told


def test_attempts_are_the_environments_then_the_profiles(aws: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert anonymous().attempts_max is None
    aws.config.write_text("[default]\nmax_attempts = 4\n")
    assert anonymous().attempts_max == 4
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "20")
    assert anonymous().attempts_max == 20


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_attempts_that_are_no_number_of_attempts_are_told(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", wrong)

    assert refusal(anonymous).startswith("AWS_MAX_ATTEMPTS (or the profile's max_attempts) must be a number")


def test_a_directory_bucket_is_signed_for_its_own_service_in_its_zone() -> None:
    # No option asks for one yet; the rules are ready.
    mount = spec(no_sign_request=True).model_copy(update={"bucket": "data--use1-az4--x-s3"})
    access = resolve(mount)

    assert access.endpoint == "https://data--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com"
    assert access.signing_name == "s3express"


def test_a_region_that_is_none_is_told_with_the_bucket() -> None:
    told = refusal(lambda: anonymous(region="eu west"))

    assert "'eu west'" in told
    assert "'my-bucket'" in told


def test_the_region_is_the_option_then_aws_region_then_the_profile_then_us_east_1(
    aws: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    assert resolve(spec()).region == "us-east-1"
    aws.config.write_text("[default]\nregion = eu-west-3\n")
    assert resolve(spec()).region == "eu-west-3"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert resolve(spec()).region == "eu-north-1"
    assert resolve(spec(region="ap-south-1")).region == "ap-south-1"


def test_the_endpoint_is_the_option_then_the_environment_then_the_profile(
    aws: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.config.write_text("[default]\nendpoint_url = http://10.0.0.1:1\n")
    assert anonymous().endpoint == "http://10.0.0.1:1/my-bucket"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.2:2/")
    assert anonymous().endpoint == "http://10.0.0.2:2/my-bucket"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://10.0.0.3:3")
    assert anonymous().endpoint == "http://10.0.0.3:3/my-bucket"
    assert anonymous(endpoint_url="http://10.0.0.4:4").endpoint == "http://10.0.0.4:4/my-bucket"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert anonymous().endpoint == "https://my-bucket.s3.us-east-1.amazonaws.com"
