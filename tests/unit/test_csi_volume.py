"""What a NodePublishVolume asks for, and the mount that it comes to."""

import re
from typing import Any

import pytest

from mountctl.csi.key import mount_name, readable
from mountctl.csi.proto import csi_pb2
from mountctl.csi.publish_request import PublishRequest, Source
from mountctl.csi.refusal import InvalidArgument
from mountctl.csi.volume import HAS_ENVIRONMENT, understood
from tests.csi.node.kubelet import Mode, of_pod, publish

TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"


def asked(*flags: str, **more: Any) -> PublishRequest:
    return understood(publish("/target", flags, **more), "driver")


def refusal(*flags: str, **more: Any) -> str:
    with pytest.raises(InvalidArgument) as error:
        asked(*flags, **more)
    return str(error.value)


def test_options_come_from_the_list_from_attributes_and_from_the_attribute_for_them() -> None:
    told = asked("allow-delete", prefix="a/", mountOptions="region=eu-west-1")
    assert told.options == {"allow-delete": True, "region": "eu-west-1", "prefix": "a/", "bucket": "bucket"}
    assert told.region == "eu-west-1"


def test_an_option_and_an_attribute_that_differ_are_refused() -> None:
    assert asked("region x", region="x").region == "x"
    assert refusal("region x", region="y").startswith("mount option --region and the volume attribute for it")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"bucketName": ""}, "volume attribute bucketName: bucket names must be 3-255 characters long"),
        ({"bucketName": "s3://bucket"}, "volume attribute bucketName: bucket names have only letters"),
        ({"prefix": "a"}, "prefix: must end in '/': write 'a/'"),
        ({"endpointUrl": "localhost"}, "endpointUrl: must be http://HOST"),
        ({"caBundle": "ca.pem"}, "volume attribute caBundle: must be an absolute path"),
    ],
)
def test_a_value_that_no_mount_can_have_is_told_with_where_it_is(more: dict[str, str], sentence: str) -> None:
    assert refusal(**more).startswith(sentence)


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("dir-mode 999", "dir-mode: must be an octal number"),
        ("memory-target 1", "memory-target: must be between 16 and"),
        ("max-threads many", "max-threads: must be an integer"),
        ("sse-kms-key-id=arn:aws:kms:r:1:key/k", "sse-kms-key-id needs sse"),
    ],
)
def test_an_option_that_no_mount_can_have_is_told(flag: str, sentence: str) -> None:
    assert refusal(flag).startswith(sentence)


def test_a_group_gets_what_it_needs() -> None:
    told = asked(group="1000")
    assert told.options == {
        "gid": 1000,
        "dir-mode": "0770",
        "file-mode": "0660",
        "allow-other": True,
        "bucket": "bucket",
    }


def test_what_the_user_says_of_a_group_stays() -> None:
    told = asked("gid=5", "dir-mode=0700", "file-mode=0600", "allow-root", group="1000")
    assert told.options == {
        "gid": 5,
        "dir-mode": "0700",
        "file-mode": "0600",
        "allow-other": True,
        "bucket": "bucket",
    }


def test_roots_group_is_the_mounts_own() -> None:
    assert "gid" not in asked(group="0").options
    assert asked(group="0").options["allow-other"] is True


def test_a_group_is_a_number() -> None:
    assert refusal(group="staff") == 'fsGroup must be a group\'s number, not "staff"'
    assert refusal(group="4294967295").startswith("fsGroup must be")


@pytest.mark.parametrize(
    ("limit", "target"),
    [("200Mi", {"memory-target": 136}), ("10Mi", {"memory-target": 16}), ("576Mi", {}), ("4Gi", {})],
)
def test_a_limit_of_memory_leaves_less_for_data(limit: str, target: dict[str, int]) -> None:
    told = asked(mountpointContainerResourcesLimitsMemory=limit)
    assert {key: value for key, value in told.options.items() if key != "bucket"} == target


def test_who_says_how_much_memory_is_heard() -> None:
    assert asked("memory-target 100", mountpointContainerResourcesLimitsMemory="200Mi").options["memory-target"] == 100


@pytest.mark.skipif(not HAS_ENVIRONMENT, reason="MountSpec has no environment yet")
def test_variables_of_attributes_and_options_go_to_the_mount() -> None:
    request = publish(flags=["aws-max-attempts 3"])
    request.volume_context["mountpointEnv.HTTPS_PROXY"] = "http://proxy:3128"
    told = understood(request, "driver")
    assert told.options["environment"] == {"HTTPS_PROXY": "http://proxy:3128", "AWS_MAX_ATTEMPTS": "3"}
    applied = told.apply("", {"AWS_MAX_ATTEMPTS": "9"}, {})
    assert applied.options["environment"]["AWS_MAX_ATTEMPTS"] == "9"


def test_whose_volume_it_is() -> None:
    target = "/var/lib/kubelet/pods/uid-of-pod/volumes/kubernetes.io~csi/pv-1/mount"
    told = understood(of_pod(publish(target)), "driver")
    assert told.persistent_volume == "pv-1"
    assert told.pod is not None
    assert (told.pod.name, told.pod.uid, told.pod.service_account) == ("pod", "uid-of-pod", "account")
    assert not told.inline
    assert asked().pod is None


def test_an_inline_volume_has_no_persistent_volume_and_no_files_of_the_nodes() -> None:
    inline = {"csi.storage.k8s.io/ephemeral": "true"}
    target = "/var/lib/kubelet/pods/uid-of-pod/volumes/kubernetes.io~csi/data/mount"
    told = understood(of_pod(publish(target, mountOptions="allow-delete"), **inline), "driver")
    assert told.inline
    assert told.persistent_volume == ""
    for options in ("log-directory=/etc", "profile=admin"):
        with pytest.raises(InvalidArgument, match="can't be set by an inline volume"):
            understood(of_pod(publish(target, mountOptions=options), **inline), "driver")
    with pytest.raises(InvalidArgument, match="ca-bundle can't be set by an inline volume"):
        understood(of_pod(publish(target, caBundle="/etc/shadow"), **inline), "driver")


def test_tokens_come_among_secrets_or_attributes_and_are_never_shown() -> None:
    told = understood(of_pod(publish(secrets={"key_id": "KEY"}), **{TOKENS: "JWT-A"}), "driver")
    assert (told.service_account_tokens, told.secrets) == ("JWT-A", {"key_id": "KEY"})
    newer = understood(of_pod(publish(secrets={TOKENS: "JWT-B", "key_id": "KEY"}), **{TOKENS: "JWT-A"}), "driver")
    assert (newer.service_account_tokens, newer.secrets) == ("JWT-B", {"key_id": "KEY"})
    assert told == newer
    assert "JWT" not in f"{told!r}{told.apply('', {}, {})!r}"
    assert "KEY" not in f"{told!r}{told.apply('', {}, {})!r}"


def test_secrets_that_nobody_uses_are_told_of() -> None:
    assert "authenticationSource" in asked(secrets={"key_id": "KEY"}).notes[0]
    assert asked(secrets={"key_id": "KEY"}, authenticationSource="secret").notes == ()


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/" + "a" * 4096, "/a\0b"])
def test_a_target_that_no_path_can_be_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="target path"):
        understood(publish(path), "driver")


def test_a_target_need_not_be_kubelets() -> None:
    assert understood(publish("//tmp/./mnt//target/"), "driver").target == "/tmp/mnt/target"


def test_a_block_device_is_refused() -> None:
    request = publish()
    request.volume_capability.ClearField("mount")
    request.volume_capability.block.SetInParent()
    with pytest.raises(InvalidArgument, match="no block device"):
        understood(request, "driver")
    request.volume_capability.ClearField("block")
    with pytest.raises(InvalidArgument, match="no access type"):
        understood(request, "driver")


def test_an_access_mode_is_needed() -> None:
    with pytest.raises(InvalidArgument, match="no access mode"):
        understood(publish(mode=Mode.UNKNOWN), "driver")


def test_a_volume_id_is_bounded() -> None:
    with pytest.raises(InvalidArgument, match="longer than"):
        understood(publish(volume="v" * 5000), "driver")


# The name of the mount


NAME = re.compile(r"^[0-9a-zA-Z][0-9a-zA-Z\-._]{0,62}$")  # engine.spec's


@pytest.mark.parametrize("volume", ["pv", "s3://bucket/ä", "---", "x" * 300, "a b/c", "\ud7ff", "csi-" + "0" * 64])
def test_any_volume_has_a_mounts_name(volume: str) -> None:
    assert NAME.match(mount_name("driver", volume, {}, [], [], ""))


def test_a_name_begins_with_the_volumes() -> None:
    assert readable("my-volume") == "my-volume"
    assert re.match(r"^s3-bucket-x-[a-z2-7]{12}$", mount_name("driver", "s3://bucket/x", {}, [], [], ""))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (publish(flags=["allow-delete", "region x"]), publish(flags=["--region=x", "allow-delete", "allow-delete"])),
        (publish(flags=["dir-mode 0770"]), publish(flags=["dir-mode=770"])),
        (publish(flags=["prefix a/"]), publish(prefix="a/")),
        (publish(endpointUrl="http://h:1/"), publish(endpointUrl="http://h:1")),
        (publish(), publish(readonly=True)),
        (publish(), publish("/other")),
        (publish(), of_pod(publish(), "other")),
        (publish(), publish(cache="emptyDir")),
        (publish(), publish(flags=["-f", "uid=0"])),
        (publish(authenticationSource="driver"), publish()),
    ],
)
def test_what_comes_to_the_same_shares_a_mount(
    one: csi_pb2.NodePublishVolumeRequest, other: csi_pb2.NodePublishVolumeRequest
) -> None:
    first, second = understood(one, "driver"), understood(other, "driver")
    assert first.mount_name("") == second.mount_name("")
    assert first.apply("", {}, {}).options == second.apply("", {}, {}).options  # the supervisor wants them to be


@pytest.mark.parametrize(
    "other",
    [
        publish(volume="other"),
        publish(bucketName="other"),
        publish(prefix="a/"),
        publish(flags=["allow-delete"]),
        publish(group="1000"),
        publish(profile="fast"),
        publish(authenticationSource="secret"),
        publish(roleArn="arn:aws:iam::1:role/r"),
        publish(stsRegion="x"),
        publish(caBundle="-----BEGIN CERTIFICATE-----"),
    ],
)
def test_anything_else_is_another_mount(other: csi_pb2.NodePublishVolumeRequest) -> None:
    assert understood(publish(), "driver").mount_name("") != understood(other, "driver").mount_name("")


def test_another_driver_or_identity_is_another_mount() -> None:
    told = understood(publish(), "driver")
    assert told.mount_name("") != told.mount_name("namespace/account")
    assert told.mount_name("") != understood(publish(), "another").mount_name("")


def test_what_is_asked_of_the_supervisor_can_be_told_as_json() -> None:
    told = understood(of_pod(publish(flags=["bind eth0", "dir-mode 750"], profile="fast", readonly=True)), "driver")
    applied = told.apply("", {}, {})
    assert type(applied).model_validate_json(applied.model_dump_json()) == applied
    assert applied.use == ("fast",)
    assert applied.consumer.read_only
    assert told.source is Source.DRIVER
