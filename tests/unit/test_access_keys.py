"""engine/s3/access.py: what botocore's chain finds in files and programs, and what is said when it finds nothing."""

import json
import os
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.s3 import access as under_test
from engine.s3.access import AccessUnavailable, CredentialSource, fingerprint, watched_files
from tests.servers import MotoServer
from tests.unit.aws_files import Files
from tests.unit.test_access import anonymous, found, refusal, secret


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(tmp_path, monkeypatch)


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
