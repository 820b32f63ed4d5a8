"""engine/s3/access.py and location.py: where a bucket is, and what botocore's chain finds for it."""

import io
import json
import os
import re
import stat
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.session import Session

from engine.link import Access, Credentials
from engine.s3 import access as under_test
from engine.s3.access import AccessUnavailable, CredentialSource, fingerprint, resolve, watched_files
from engine.spec import MountSpec
from tests.servers import MotoServer


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


class Files:
    """The two AWS files of a test, and programs beside them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "config"
        self.credentials = directory / "credentials"

    def program(self, body: str) -> Path:
        path = self.directory / "helper"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files(tmp_path)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(files.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(files.credentials))
    return files


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


def test_anonymous_wins_over_a_profile_that_does_not_even_exist() -> None:
    assert anonymous(profile="nobody").credentials is None


def test_keys_of_the_environment_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-env")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-env")

    credentials = found()

    assert (credentials.access_key, secret(credentials), credentials.expires) == ("AKIDENV", "from-env", None)
    assert credentials.token is not None
    assert credentials.token.get_secret_value() == "token-env"
    assert "from-env" not in repr(credentials)


def test_a_named_profile_wins_over_keys_of_the_environment(aws: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-env")
    aws.credentials.write_text("[batch]\naws_access_key_id = AKIDFILE\naws_secret_access_key = from-file\n")

    assert found(profile="batch").access_key == "AKIDFILE"


def test_an_unknown_profile_is_told_with_both_files(aws: Files) -> None:
    told = refusal(lambda: found(profile="batch"))

    assert told == f"profile 'batch' is not in {aws.config} or {aws.credentials}"


def test_an_unknown_profile_of_the_environment_is_told_as_such(aws: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")

    assert "'elsewhere' (from AWS_PROFILE)" in refusal(found)


def test_no_credentials_anywhere_says_what_to_do(aws: Files) -> None:
    told = refusal(found)

    assert told.startswith("no credentials found")
    assert "no-sign-request = true" in told


def test_half_a_key_is_told(aws: Files) -> None:
    aws.credentials.write_text("[batch]\naws_access_key_id = AKIDHALF\n")

    assert "aws_secret_access_key is missing" in refusal(lambda: found(profile="batch"))


def test_a_broken_file_is_told_by_its_name(aws: Files) -> None:
    aws.config.write_text("this is [not a file\n")

    assert str(aws.config) in refusal(lambda: found(profile="batch"))


def test_a_credential_process_is_run_and_its_expiry_is_known(aws: Files) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    answer = {"Version": 1, "AccessKeyId": "AKIDPROC", "SecretAccessKey": "s3cr3t", "Expiration": expires.isoformat()}
    helper = aws.program(f"echo '{json.dumps(answer)}'")
    aws.config.write_text(f"[profile vault]\ncredential_process = {helper}\n")

    credentials = found(profile="vault")

    assert (credentials.access_key, credentials.expires) == ("AKIDPROC", expires.timestamp())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("echo 'hush-hush' >&2; exit 3", "helper ended with exit code 3"),
        ("printf 'hush-hush \\377' >&2; exit 1", "helper ended with exit code 1"),
        ("echo 'hush-hush' >&2; kill -TERM $$", "helper was killed by SIGTERM"),
        ("echo 'hush-hush is not json'", "is not as AWS defines it"),
        ('echo \'{"Version": "hush-hush"}\'', "is not as AWS defines it"),
        ("echo '[\"hush-hush\"]'", "is not as AWS defines it"),
        ('echo \'{"Version": 1, "AccessKeyId": "hush-hush"}\'', "is not as AWS defines it"),
        (
            'echo \'{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "Expiration": "hush-hush"}\'',
            "is not as AWS defines it",
        ),
    ],
)
def test_a_credential_process_that_fails_is_told_without_a_word_of_what_it_printed(
    aws: Files, body: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    aws.config.write_text(f"[profile vault]\ncredential_process = {aws.program(body)} --pin hush-hush\n")

    with pytest.raises(AccessUnavailable) as caught:
        found(profile="vault")

    assert told in str(caught.value)
    assert str(caught.value).startswith("profile 'vault': ")
    everything = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "hush-hush" not in everything


def test_a_credential_process_that_does_not_exist_is_named(aws: Files) -> None:
    aws.config.write_text("[profile vault]\ncredential_process = /no/such/helper\n")

    assert "/no/such/helper: No such file" in refusal(lambda: found(profile="vault"))


def test_a_credential_process_that_hangs_is_killed_with_its_children(
    aws: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "PROCESS_SECONDS_MAX", 0.7)
    pids = aws.directory / "pids"
    helper = aws.program(f"sleep 1000 & echo $! > {pids}; wait")
    aws.config.write_text(f"[profile vault]\ncredential_process = {helper}\n")

    assert "was killed" in refusal(lambda: found(profile="vault"))

    child = Path(f"/proc/{pids.read_text().strip()}/stat")
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_a_role_is_assumed_by_its_source_profile(aws: Files, moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
    aws.credentials.write_text("[base]\naws_access_key_id = test\naws_secret_access_key = test\n")
    aws.config.write_text(
        "[profile role]\nregion = us-east-1\nsource_profile = base\nrole_arn = arn:aws:iam::123456789012:role/reader\n"
    )

    credentials = found(profile="role")

    assert credentials.access_key.startswith("ASIA")
    assert credentials.token is not None
    assert credentials.expires is not None
    assert credentials.expires > time.time() + 600


def test_a_role_that_wants_a_code_is_told_without_asking_for_one(aws: Files) -> None:
    aws.config.write_text(
        "[profile role]\nmfa_serial = arn:aws:iam::1:mfa/me\nsource_profile = role\n"
        "role_arn = arn:aws:iam::1:role/reader\n"
    )

    assert "'role' asks for an MFA code" in refusal(lambda: found(profile="role"))


def test_an_sts_that_is_not_there_is_told_by_its_address(aws: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setattr(under_test, "_STS_ATTEMPTS", 1)
    aws.credentials.write_text("[base]\naws_access_key_id = test\naws_secret_access_key = hush-hush\n")
    aws.config.write_text(
        "[profile role]\nregion = us-east-1\nsource_profile = base\nrole_arn = arn:aws:iam::1:role/reader\n"
    )

    told = refusal(lambda: found(profile="role"))

    assert "127.0.0.1:1" in told
    assert "hush-hush" not in told


def test_an_edit_is_read_by_the_next_load_of_the_same_source(aws: Files) -> None:
    source = CredentialSource("batch")
    aws.credentials.write_text("[batch]\naws_access_key_id = ONE\naws_secret_access_key = s\n")
    assert source.load().access_key == "ONE"
    aws.credentials.write_text("[batch]\naws_access_key_id = TWO\naws_secret_access_key = s\n")

    assert source.load().access_key == "TWO"


def test_the_fingerprint_changes_when_a_file_is_made_replaced_rewritten_or_removed(aws: Files) -> None:
    seen = [fingerprint(watched_files())]
    aws.config.write_text("[default]\nregion = eu-west-1\n")
    seen.append(fingerprint(watched_files()))
    other = aws.directory / "other"
    other.write_text("[default]\nregion = eu-west-2\n")
    before = aws.config.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(aws.config)
    seen.append(fingerprint(watched_files()))
    aws.config.write_text("[default]\nregion = eu-central-1\n")
    seen.append(fingerprint(watched_files()))
    aws.config.unlink()

    assert len(set(seen)) == 4
    assert fingerprint(watched_files()) == seen[0]
