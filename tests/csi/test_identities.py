"""What is written for volumes, used: botocore's chain, with an agent and an STS on loopback, as the broker walks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.link import Credentials
from engine.s3.access import AccessUnavailable, source_of
from engine.spec import MountSpec
from mountctl.csi.credentials.files import CredentialFiles
from mountctl.csi.credentials.roles import Roles
from mountctl.csi.credentials.volumes import VolumeCredentials
from mountctl.csi.publish_request import PublishRequest, Source
from tests.csi.test_volume_credentials import JWT, Api, request, tokens
from tests.servers import MotoServer
from tests.unit.test_access_chain import Vendor, issued


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    it = Vendor()
    yield it
    it.close()


@pytest.fixture(autouse=True)
def node(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor with keys of its own, on a node that has a role."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SUPERVISOR")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", vendor.url)
    vendor.answers |= {"PUT /latest/api/token": "session", "GET /latest/meta-data/iam/security-credentials/": "node"}


class Volumes:
    """Prepares requests and asks as their mounts would."""

    def __init__(self, directory: Path, api: Api, **environ: str) -> None:
        self.credentials = VolumeCredentials(CredentialFiles(directory), Roles(api), environ)

    def keys(self, asked: PublishRequest) -> Credentials:
        prepared = self.credentials.prepare(asked)
        apply = asked.apply(prepared.identity, prepared.environment, prepared.options)
        return source_of(MountSpec(name=apply.name, mountpoint="/m", **apply.options)).load()


def test_a_pods_role_is_had_from_sts_for_its_token(
    tmp_path: Path, moto: MotoServer, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
    volumes = Volumes(tmp_path, Api(reader="arn:aws:iam::123456789012:role/reader"))

    found = volumes.keys(request(Source.POD))

    assert found.source == "web-identity"
    assert found.access_key.startswith("ASIA")
    assert vendor.seen == []


def test_a_pod_without_a_role_is_known_to_the_nodes_agent_by_its_token_of_now(tmp_path: Path, vendor: Vendor) -> None:
    vendor.answers["GET /v1/credentials"] = issued("POD")
    volumes = Volumes(
        tmp_path, Api(), EKS_POD_IDENTITY_AGENT_CONTAINER_CREDENTIALS_FULL_URI=f"{vendor.url}/v1/credentials"
    )

    first = volumes.keys(request(Source.POD))
    volumes.keys(request(Source.POD, service_account_tokens=tokens(pod_identity=f"{JWT}.later")))

    assert (first.access_key, first.source) == ("POD", "container")
    assert [headers["authorization"] for _, headers in vendor.seen] == [f"{JWT}.eks", f"{JWT}.later"]


def test_a_secrets_keys_are_its_volumes(tmp_path: Path, vendor: Vendor) -> None:
    found = Volumes(tmp_path, Api()).keys(request(Source.SECRET))

    assert (found.access_key, found.source) == ("AKIDONE", "profile")
    assert vendor.seen == []


def test_the_drivers_keys_are_the_supervisors_also_for_a_volume_with_a_proxy(tmp_path: Path) -> None:
    proxied = {"bucket": "my-bucket", "environment": {"HTTPS_PROXY": "http://proxy.test:3128"}}

    assert Volumes(tmp_path, Api()).keys(request(Source.DRIVER)).access_key == "SUPERVISOR"
    assert Volumes(tmp_path, Api()).keys(request(Source.DRIVER, options=proxied)).access_key == "SUPERVISOR"


def test_a_pod_whose_token_is_gone_never_has_the_nodes_role(tmp_path: Path, vendor: Vendor) -> None:
    asked = request(Source.POD)
    files = CredentialFiles(tmp_path)
    prepared = VolumeCredentials(files, Roles(Api(reader="arn:aws:iam::1:role/r")), {}).prepare(asked)
    files.remove(asked.mount_name(prepared.identity))

    with pytest.raises(AccessUnavailable):
        source_of(MountSpec(name="m", bucket="my-bucket", mountpoint="/m", environment=prepared.environment)).load()
    assert vendor.seen == []
