"""What is written for a volume, and what its mount's chain of credentials is told, by authenticationSource."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.spec import MountSpec
from mountctl.csi.credentials.files import CredentialFiles
from mountctl.csi.credentials.roles import Roles
from mountctl.csi.credentials.volumes import VolumeCredentials
from mountctl.csi.credentials_interface import CredentialsError, Prepared
from mountctl.csi.publish_request import PublishRequest, Source
from mountctl.errors import MountctlError
from mountctl.volume import Cause, Pod

ROLE = "arn:aws:iam::123456789012:role/team/reader"
SECRET = {"key_id": "AKIDONE", "access_key": "very-secret"}
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmVk"


def tokens(sts: str | None = JWT, pod_identity: str | None = f"{JWT}.eks") -> str:
    by_audience = {"sts.amazonaws.com": sts, "pods.eks.amazonaws.com": pod_identity}
    return json.dumps(
        {
            audience: {"token": token, "expirationTimestamp": "2026-01-01T00:00:00Z"}
            for audience, token in by_audience.items()
            if token is not None
        }
    )


def request(source: Source, **others: Any) -> PublishRequest:
    options = {"bucket": "my-bucket"}
    asked = PublishRequest(
        driver="s3.mountctl.io",
        volume_id="volume",
        target="/pods/1/mount",
        read_only=False,
        single_writer=False,
        inline=False,
        persistent_volume="volume",
        bucket="my-bucket",
        options=options,
        templates=(),
        fs_group="",
        source=source,
        role_arn="",
        sts_region="",
        region="",
        ca_certificates="",
        pod=Pod(namespace="team", name="pod-1", uid="1", service_account="reader"),
        service_account_tokens=tokens() if source is Source.POD else "",
        secrets=SECRET if source is Source.SECRET else {},
    )
    return replace(asked, **others)


class Api:
    """Annotations of service accounts; `down` while it can't be asked."""

    def __init__(self, **roles: str) -> None:
        self.roles = roles
        self.down = False
        self.asked = 0

    def service_account_annotations(self, namespace: str, name: str) -> dict[str, str]:
        self.asked += 1
        if self.down:
            raise MountctlError("the Kubernetes API does not answer")
        assert namespace == "team"
        return {"eks.amazonaws.com/role-arn": self.roles[name]} if name in self.roles else {}


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    return CredentialFiles(tmp_path)


def credentials(files: CredentialFiles, api: Api | None = None, **environ: str) -> VolumeCredentials:
    return VolumeCredentials(files, Roles(api or Api(reader=ROLE)), environ)


def directory(files: CredentialFiles, asked: PublishRequest, prepared: Prepared) -> Path:
    return files.path(asked.mount_name(prepared.identity))


def refusal(asked: PublishRequest, files: CredentialFiles, api: Api | None = None) -> CredentialsError:
    with pytest.raises(CredentialsError) as caught:
        credentials(files, api).prepare(asked)
    assert JWT not in str(caught.value)
    assert "very-secret" not in str(caught.value)
    return caught.value


def fits_a_mount(prepared: Prepared) -> bool:
    return bool(MountSpec(name="m", bucket="my-bucket", mountpoint="/m", environment=prepared.environment).environment)


def test_the_drivers_own_credentials_need_no_file_and_no_variable(files: CredentialFiles, tmp_path: Path) -> None:
    assert credentials(files).prepare(request(Source.DRIVER)) == Prepared()
    assert list(tmp_path.iterdir()) == []


def test_certificates_are_a_file_of_the_mounts_whatever_its_source(files: CredentialFiles) -> None:
    asked = request(Source.DRIVER, ca_certificates="-----BEGIN CERTIFICATE-----\n")

    prepared = credentials(files).prepare(asked)

    file = directory(files, asked, prepared) / "ca.pem"
    assert prepared.options == {"ca-bundle": str(file)}
    assert file.read_text() == asked.ca_certificates


def test_a_pod_with_an_annotated_service_account_has_its_role_and_nothing_of_the_nodes(files: CredentialFiles) -> None:
    asked = request(Source.POD)

    prepared = credentials(files, AWS_REGION="eu-west-1").prepare(asked)

    own = directory(files, asked, prepared)
    assert prepared.identity.startswith("team/reader ")
    assert prepared.environment == {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(own / "token"),
        "AWS_ROLE_SESSION_NAME": "team-reader",
        "AWS_CONFIG_FILE": str(own / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(own / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert (own / "token").read_text() == JWT
    assert not (own / "no-config").exists()
    assert fits_a_mount(prepared)


def test_the_volumes_role_wins_over_the_annotation_and_nobody_is_asked(files: CredentialFiles) -> None:
    api = Api(reader=ROLE)
    asked = request(Source.POD, role_arn=f"{ROLE}-of-the-volume")

    prepared = credentials(files, api).prepare(asked)

    assert prepared.environment["AWS_ROLE_ARN"] == f"{ROLE}-of-the-volume"
    assert api.asked == 0


def test_a_pod_without_a_role_has_eks_pod_identity(files: CredentialFiles) -> None:
    asked = request(Source.POD)

    prepared = credentials(files, Api()).prepare(asked)

    own = directory(files, asked, prepared)
    assert prepared.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://169.254.170.23/v1/credentials"
    assert prepared.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == str(own / "eks-pod-identity-token")
    assert prepared.environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert "AWS_ROLE_ARN" not in prepared.environment
    assert (own / "eks-pod-identity-token").read_text() == f"{JWT}.eks"
    assert fits_a_mount(prepared)


@pytest.mark.parametrize(
    ("told", "environ", "region"),
    [
        ({"sts_region": "a", "region": "b"}, {"AWS_REGION": "c", "AWS_DEFAULT_REGION": "d"}, "a"),
        ({"region": "b"}, {"AWS_REGION": "c", "AWS_DEFAULT_REGION": "d"}, "b"),
        ({}, {"AWS_REGION": "c", "AWS_DEFAULT_REGION": "d"}, "c"),
        ({}, {"AWS_DEFAULT_REGION": "d"}, "d"),
        ({}, {}, None),
    ],
)
def test_sts_is_asked_in_the_region_of_the_volume_or_of_this_process(
    files: CredentialFiles, told: dict[str, str], environ: dict[str, str], region: str | None
) -> None:
    prepared = credentials(files, **environ).prepare(request(Source.POD, **told))

    assert prepared.environment.get("AWS_DEFAULT_REGION") == region
    assert "AWS_REGION" not in prepared.environment


def test_pods_of_one_service_account_share_a_mount_and_those_of_two_do_not(files: CredentialFiles) -> None:
    ours = credentials(files, Api(reader=ROLE, writer=ROLE))
    one = ours.prepare(request(Source.POD))
    same = ours.prepare(request(Source.POD, pod=Pod(namespace="team", name="pod-2", service_account="reader")))
    other = ours.prepare(request(Source.POD, pod=Pod(namespace="team", name="pod-3", service_account="writer")))

    assert one.identity == same.identity
    assert one.identity != other.identity


def test_a_secret_becomes_a_credentials_file_and_only_its_path_is_told(files: CredentialFiles) -> None:
    asked = request(Source.SECRET, secrets=SECRET | {"session_token": "token-very-secret\n"})

    prepared = credentials(files).prepare(asked)

    own = directory(files, asked, prepared)
    assert (own / "credentials").read_text() == (
        "[default]\naws_access_key_id = AKIDONE\naws_secret_access_key = very-secret\n"
        "aws_session_token = token-very-secret\n"
    )
    assert prepared.environment == {
        "AWS_SHARED_CREDENTIALS_FILE": str(own / "credentials"),
        "AWS_CONFIG_FILE": str(own / "no-config"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert "very-secret" not in repr(prepared) + repr(asked)
    assert fits_a_mount(prepared)


@pytest.mark.parametrize(
    "secret",
    [
        {"AWS_ACCESS_KEY_ID": "AKIDONE", "AWS_SECRET_ACCESS_KEY": "very-secret"},
        {"accessKeyID": "AKIDONE", "secretAccessKey": "very-secret", "endpoint": "https://s3.test"},
        {"key_id": "AKIDONE\n", "access_key": "very-secret\r\n"},
    ],
    ids=str,
)
def test_keys_are_understood_in_the_spellings_of_others(files: CredentialFiles, secret: dict[str, str]) -> None:
    asked = request(Source.SECRET, secrets=secret)

    own = directory(files, asked, credentials(files).prepare(asked))

    assert (own / "credentials").read_text() == (
        "[default]\naws_access_key_id = AKIDONE\naws_secret_access_key = very-secret\n"
    )


@pytest.mark.parametrize(
    ("source", "others", "said"),
    [
        (Source.SECRET, {"secrets": {}}, "name a Secret with key_id and access_key in its nodePublishSecretRef"),
        (Source.SECRET, {"secrets": {"key_id": "A"}}, "access_key missing: it needs the keys key_id and access_key"),
        (Source.SECRET, {"secrets": {"password": "very-secret"}}, "key_id and access_key missing"),
        (Source.SECRET, {"secrets": SECRET | {"access_key": "very-secret\nx = y"}}, "access_key has characters"),
        (Source.SECRET, {"secrets": SECRET | {"key_id": "A\x00B"}}, "key_id has characters"),
        (Source.POD, {"pod": None}, "needs podInfoOnMount"),
        (Source.POD, {"service_account_tokens": ""}, "there is no token for sts.amazonaws.com"),
        (Source.POD, {"service_account_tokens": JWT}, "is not as kubelet writes it"),
        (Source.POD, {"service_account_tokens": '{"a": {"token": "x y"}}'}, "something else than tokens"),
        (Source.POD, {"role_arn": "reader"}, "roleArn is not the ARN of a role"),
    ],
)
def test_what_is_missing_or_wrong_is_told_with_what_to_do_and_nothing_is_written(
    files: CredentialFiles, tmp_path: Path, source: Source, others: dict[str, Any], said: str
) -> None:
    assert said in str(refusal(request(source, **others), files))
    assert list(tmp_path.iterdir()) == []


def test_a_pod_without_role_and_without_a_token_for_pod_identity_is_told_both_ways(files: CredentialFiles) -> None:
    told = str(refusal(request(Source.POD, service_account_tokens=tokens(pod_identity=None)), files, Api()))

    assert "annotation eks.amazonaws.com/role-arn, or roleArn" in told
    assert "no token for pods.eks.amazonaws.com" in told


def test_an_annotation_that_is_no_role_is_an_invalid_request(files: CredentialFiles) -> None:
    told = refusal(request(Source.POD), files, Api(reader="reader\nAWS_PROFILE=x"))

    assert told.cause is Cause.INVALID
    assert "annotation eks.amazonaws.com/role-arn of service account team/reader" in str(told)


def test_a_role_that_was_known_counts_while_the_api_is_away_and_an_unknown_one_is_told(
    files: CredentialFiles, caplog: pytest.LogCaptureFixture
) -> None:
    api = Api(reader=ROLE)
    ours = credentials(files, api)
    before = ours.prepare(request(Source.POD))
    api.down = True

    with caplog.at_level(logging.WARNING):
        assert ours.prepare(request(Source.POD)) == before
    assert "its role is as it was" in caplog.text
    with pytest.raises(CredentialsError, match="the pod's role is not known: the Kubernetes API") as caught:
        ours.prepare(request(Source.POD, pod=Pod(namespace="team", name="x", service_account="other")))
    assert caught.value.cause is Cause.UNREACHABLE


def test_a_republish_writes_new_tokens_and_asks_nobody(files: CredentialFiles) -> None:
    api, asked = Api(reader=ROLE), request(Source.POD)
    ours = credentials(files, api)
    name = asked.mount_name(ours.prepare(asked).identity)
    api.down, before = True, api.asked
    unchanged = (files.path(name) / "token").stat().st_ino

    ours.refresh(asked, name)
    assert (files.path(name) / "token").stat().st_ino == unchanged
    ours.refresh(request(Source.POD, service_account_tokens=tokens(sts=f"{JWT}.new")), name)

    assert (files.path(name) / "token").read_text() == f"{JWT}.new"
    assert api.asked == before


def test_a_republish_writes_a_rotated_secret_and_one_that_is_broken_leaves_the_keys_as_they_are(
    files: CredentialFiles,
) -> None:
    ours, asked = credentials(files), request(Source.SECRET)
    name = asked.mount_name(ours.prepare(asked).identity)

    ours.refresh(request(Source.SECRET, secrets={"key_id": "AKIDTWO", "access_key": "other-secret"}), name)
    with pytest.raises(CredentialsError):
        ours.refresh(request(Source.SECRET, secrets={}), name)

    assert "AKIDTWO" in (files.path(name) / "credentials").read_text()
    ours.remove(name)
    assert not files.path(name).exists()


def test_nothing_that_is_secret_is_logged(files: CredentialFiles, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for source in Source:
            asked = request(source)
            ours = credentials(files)
            name = asked.mount_name(ours.prepare(asked).identity)
            ours.refresh(asked, name)
            ours.sweep({name})
    assert JWT not in caplog.text
    assert "very-secret" not in caplog.text
