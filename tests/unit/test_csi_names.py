"""A mount's name says all that it is told: who asks for another one by the same name is refused (volumes.py)."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from mountctl.csi.credentials.files import CredentialFiles
from mountctl.csi.credentials.roles import Roles
from mountctl.csi.credentials.volumes import VolumeCredentials
from mountctl.csi.proto import csi_pb2
from mountctl.csi.volume import understood
from mountctl.supervisor.volumes.model import Request
from mountctl.volume import Apply

_MODE: Final = csi_pb2.VolumeCapability.AccessMode(mode=csi_pb2.VolumeCapability.AccessMode.MULTI_NODE_MULTI_WRITER)
_TOKENS: Final = json.dumps({each: {"token": "t"} for each in ("sts.amazonaws.com", "pods.eks.amazonaws.com")})
_KEYS: Final = {"key_id": "AKID", "access_key": "secret"}

# What may differ between two requests for one volume; few values each, so that pairs agree in most.
ATTRIBUTES: Final = st.fixed_dictionaries(
    {"bucketName": st.sampled_from(["one-bucket", "other-bucket"])},
    optional={
        "prefix": st.sampled_from(["a/", "b/"]),
        "endpointUrl": st.sampled_from(["http://s3.test", "https://s3.test"]),
        "region": st.sampled_from(["eu-west-1", "us-east-1"]),
        "pathStyle": st.sampled_from(["true", "false"]),
        "authenticationSource": st.sampled_from(["driver", "pod", "secret"]),
        "stsRegion": st.sampled_from(["eu-west-1", "us-east-1"]),
        "roleArn": st.just("arn:aws:iam::123456789012:role/other"),
        "caBundle": st.sampled_from(["-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n\n", "/ca.pem"]),
        "profile": st.sampled_from(["fast", "fast,slow", "slow,fast"]),
        "mountpointContainerResourcesLimitsMemory": st.sampled_from(["128Mi", "256Mi", "2Gi"]),
        "csi.storage.k8s.io/serviceAccount.name": st.sampled_from(["reader", "writer"]),
    },
)
FLAGS: Final = st.lists(
    st.sampled_from(["allow-other", "uid=1000", "gid=7", "--file-mode=640", "file-mode=0640", "metadata-ttl=5"]),
    unique_by=lambda flag: flag.strip("-").partition("=")[0],
)
# Of the driver's process.
ENVIRON: Final = st.fixed_dictionaries(
    {},
    optional={
        "AWS_REGION": st.sampled_from(["eu-west-1", "eu-north-1"]),
        "AWS_STS_REGIONAL_ENDPOINTS": st.sampled_from(["legacy", "regional"]),
        "EKS_POD_IDENTITY_AGENT_CONTAINER_CREDENTIALS_FULL_URI": st.just("http://169.254.170.23:81/v1/credentials"),
    },
)
ASKED: Final = st.tuples(ATTRIBUTES, FLAGS, st.sampled_from(["", "7", "8"]), ENVIRON, st.booleans(), st.integers(1, 2))
Asked = tuple[Mapping[str, str], list[str], str, Mapping[str, str], bool, int]


class _Annotations:
    def service_account_annotations(self, _namespace: str, name: str) -> dict[str, str]:
        return {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/writer"} if name == "writer" else {}


def applied(asked: Asked, directory: Path) -> Apply:
    attributes, flags, group, environ, inline, pod = asked
    context = {
        "csi.storage.k8s.io/serviceAccount.name": "reader",
        **attributes,
        "csi.storage.k8s.io/pod.namespace": "team",
        "csi.storage.k8s.io/pod.name": f"pod-{pod}",
        "csi.storage.k8s.io/ephemeral": "true" if inline and attributes.get("caBundle") != "/ca.pem" else "false",
        "csi.storage.k8s.io/serviceAccount.tokens": _TOKENS,
    }
    mount = csi_pb2.VolumeCapability.MountVolume(mount_flags=flags, volume_mount_group=group)
    request = csi_pb2.NodePublishVolumeRequest(
        volume_id="volume",
        target_path=f"/pods/{pod}/mount",
        volume_context=context,
        volume_capability=csi_pb2.VolumeCapability(mount=mount, access_mode=_MODE),
        secrets=_KEYS if attributes.get("authenticationSource") == "secret" else {},
    )
    told = understood(request, "s3.mountctl.io")
    prepared = VolumeCredentials(CredentialFiles(directory), Roles(_Annotations()), environ).prepare(told)
    return told.apply(prepared.identity, prepared.environment, prepared.options)


@given(ASKED, ASKED)
def test_two_requests_with_one_name_ask_for_the_same(one: Asked, other: Asked) -> None:
    with TemporaryDirectory() as directory:
        first, second = applied(one, Path(directory)), applied(other, Path(directory))

    if first.name == second.name:
        assert Request.of(first) == Request.of(second)


@given(ASKED, ENVIRON)
def test_a_driver_that_tells_mounts_something_else_asks_by_another_name(one: Asked, environ: Mapping[str, str]) -> None:
    with TemporaryDirectory() as directory:
        first, second = (applied((*one[:3], each, *one[4:]), Path(directory)) for each in (one[3], environ))

    if first.name == second.name:
        assert first == second


@given(ASKED)
def test_pods_of_one_service_account_share_a_name(one: Asked) -> None:
    with TemporaryDirectory() as directory:
        names = {applied((*one[:5], pod), Path(directory)).name for pod in (1, 2)}

    assert len(names) == 1
