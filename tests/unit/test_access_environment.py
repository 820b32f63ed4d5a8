"""Mounts with environments of their own: each sees its own identity, at the same time, and none the supervisor's."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.link import Credentials
from engine.s3.access import AccessUnavailable, resolve, source_of
from engine.s3.surroundings import within
from engine.spec import MountSpec
from tests.unit.test_access_chain import INSTANCE, Vendor, issued

# Of a barrier that all reach: generous, for a busy machine; a test that passes never waits for it.
TOGETHER_SECONDS_MAX = 30.0


def spec(name: str, **options: Any) -> MountSpec:
    return MountSpec(**{"name": name, "bucket": "my-bucket", "mountpoint": f"/mnt/{name}", **options})


def load(environment: dict[str, str], **options: Any) -> Credentials:
    return source_of(spec("m", environment=environment, **options)).load()


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(AccessUnavailable) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    it = Vendor()
    yield it
    it.close()


@pytest.fixture(autouse=True)
def supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: Vendor) -> None:
    """A supervisor whose environment has an identity of every kind, and whose host has one, too."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    shared = tmp_path / "supervisors"
    shared.write_text("[default]\naws_access_key_id = SHARED\naws_secret_access_key = s\nregion = ap-south-1\n")
    token = tmp_path / "supervisors-token"
    token.write_text("supervisors.web.identity")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "SUPERVISOR",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SHARED_CREDENTIALS_FILE": str(shared),
        "AWS_REGION": "ap-south-1",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/supervisor",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{vendor.url}/supervisor",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": vendor.url,
        "AWS_ENDPOINT_URL_STS": vendor.url,
    }.items():
        monkeypatch.setenv(name, value)
    vendor.answers |= {
        "GET /supervisor": issued("AGENTS-SUPERVISOR"),
        "PUT /latest/api/token": "session-of-imds",
        f"GET {INSTANCE}": "node",
        f"GET {INSTANCE}node": issued("NODE"),
    }


def container(vendor: Vendor, tmp_path: Path, name: str) -> dict[str, str]:
    token = tmp_path / f"{name}.token"
    token.write_text(f"token-of-{name}")
    vendor.answers[f"GET /{name}"] = issued(name)
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{vendor.url}/{name}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def keys_file(path: Path, access_key: str) -> dict[str, str]:
    path.write_text(f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = s\n")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_EC2_METADATA_DISABLED": "true"}


def web_identity(tmp_path: Path, name: str) -> dict[str, str]:
    token = tmp_path / f"{name}.jwt"
    token.write_text(f"jwt-of-{name}")
    return {
        "AWS_ROLE_ARN": f"arn:aws:iam::123456789012:role/{name}",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_many_identities_at_once_are_each_their_mounts_own(tmp_path: Path, vendor: Vendor) -> None:
    wanted = {f"agent-{n}": container(vendor, tmp_path, f"agent-{n}") for n in range(4)}
    wanted |= {f"file-{n}": keys_file(tmp_path / f"file-{n}", f"file-{n}") for n in range(4)}
    wanted["SUPERVISOR"] = {}
    rounds = 5
    together = threading.Barrier(len(wanted), timeout=TOGETHER_SECONDS_MAX)

    def ask(environment: dict[str, str]) -> list[str]:
        source, found = source_of(spec("m", environment=environment)), []
        for _ in range(rounds):
            together.wait()
            found.append(source.load().access_key)
        return found

    with ThreadPoolExecutor(len(wanted)) as threads:
        answers = list(threads.map(ask, wanted.values()))

    assert answers == [[name] * rounds for name in wanted]
    told = {(path, headers.get("authorization")) for path, headers in vendor.seen}
    assert told == {(f"GET /agent-{n}", f"token-of-agent-{n}") for n in range(4)}


def test_a_mount_without_keys_of_its_own_gets_none_of_the_supervisors(tmp_path: Path, vendor: Vendor) -> None:
    nothing = str(tmp_path / "nothing")
    own = {
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_CONFIG_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    assert reason(lambda: load(own)).startswith("no credentials found: ")
    assert vendor.seen == []


def test_the_nodes_role_is_for_mounts_that_do_not_forbid_it(vendor: Vendor) -> None:
    assert load({"AWS_ROLE_SESSION_NAME": "mine"}).access_key == "NODE"


@pytest.mark.parametrize("own", [{"AWS_REGION": "eu-west-1"}, {"AWS_MAX_ATTEMPTS": "2"}, {"NO_PROXY": "*"}], ids=str)
def test_variables_that_do_not_say_who_asks_leave_a_mount_the_supervisors_identity(own: dict[str, str]) -> None:
    assert load(own).access_key == "SUPERVISOR"


def sts_answer(access_key: str) -> str:
    return (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>s"
        "</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId>"
        "</AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )


def test_a_web_identity_of_a_mount_is_exchanged_for_its_own_role_without_a_region_of_the_supervisors(
    tmp_path: Path, vendor: Vendor
) -> None:
    vendor.answers["POST /"] = sts_answer("ROLE")

    found = load(web_identity(tmp_path, "pod"))

    assert (found.access_key, found.source) == ("ROLE", "web-identity")
    assert [path for path, _ in vendor.seen] == ["POST /"]


@pytest.mark.parametrize(
    ("own", "option", "region", "is_told"),
    [
        ({"AWS_EC2_METADATA_DISABLED": "true"}, None, "us-east-1", False),
        ({"AWS_MAX_ATTEMPTS": "2"}, None, "ap-south-1", True),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-1", False),
        ({"AWS_REGION": "eu-west-1"}, None, "eu-west-1", True),
        ({"AWS_REGION": "eu-west-1"}, "eu-north-1", "eu-north-1", True),
    ],
)
def test_the_buckets_region_is_the_mounts_and_not_the_supervisors(
    own: dict[str, str], option: str | None, region: str, is_told: bool
) -> None:
    found = resolve(spec("m", environment=own, region=option, no_sign_request=True))

    assert (found.region, found.region_told) == (region, is_told)


def test_attempts_are_those_of_the_mounts_environment() -> None:
    assert resolve(spec("m", environment={"AWS_MAX_ATTEMPTS": "7"}, no_sign_request=True)).attempts_max == 7


def test_a_credential_process_sees_the_mounts_environment_too(tmp_path: Path) -> None:
    config = tmp_path / "config"
    said = '\'{"Version": 1, "AccessKeyId": "\'$AWS_PROFILE$AWS_REGION\'", "SecretAccessKey": "s"}\''
    program = tmp_path / "helper"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o700)
    config.write_text(f"[profile mine]\ncredential_process = {program}\n")
    own = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_PROFILE": "mine"}

    assert load(own).access_key == "mine"


def test_the_files_of_a_mount_are_its_own_and_a_change_of_them_shows(tmp_path: Path) -> None:
    ours = source_of(spec("a", environment=keys_file(tmp_path / "a", "A")))
    theirs = source_of(spec("b", environment=keys_file(tmp_path / "b", "B")))
    before = ours.fingerprint(), theirs.fingerprint()

    keys_file(tmp_path / "a", "ANOTHER")

    assert ours.fingerprint() != before[0]
    assert theirs.fingerprint() == before[1]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_proxies_are_the_supervisors_unless_the_mount_names_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://proxy.test:1")
    with within({"AWS_REGION": "x"}):
        assert os.environ.get(name) == "http://proxy.test:1"
    with within({"NO_PROXY": "*"}):
        assert os.environ.get(name) is None


def test_what_is_written_within_is_gone_behind_it_and_what_is_written_elsewhere_is_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MOUNTCTL_TEST", raising=False)
    with within({"AWS_REGION": "x"}):
        os.environ["MOUNTCTL_TEST"] = "1"
        assert "MOUNTCTL_TEST" in os.environ
        elsewhere: list[str | None] = []
        thread = threading.Thread(target=lambda: elsewhere.append(os.environ.get("AWS_REGION")))
        thread.start()
        thread.join()
        assert elsewhere == ["ap-south-1"]
        assert dict(os.environ)["AWS_REGION"] == "x"
        assert len(os.environ) == len(list(os.environ))
    assert "MOUNTCTL_TEST" not in os.environ
    assert os.environ["AWS_REGION"] == "ap-south-1"


def test_keys_of_a_mount_say_when_they_expire(tmp_path: Path, vendor: Vendor) -> None:
    expires = load(container(vendor, tmp_path, "agent")).expires

    assert expires is not None
    assert expires > time.time()
