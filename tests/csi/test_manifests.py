"""The chart and the manifests: every object is right for Kubernetes, has what it needs, and may do no more."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes_validate import utils

from tests.csi import charts
from tests.csi.charts import CHART, EXAMPLES, KUBERNETES, RENDER, VALUES, VERSIONS, named, objects, rendered, values_of

HADOLINT = Path(sys.executable).parent / "hadolint"
EACH_VALUES = pytest.mark.parametrize("path", [None, *VALUES], ids=lambda path: path.stem if path else "defaults")


@pytest.fixture(autouse=True)
def _schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "schema_contents", charts.schema_of)


@EACH_VALUES
def test_all_objects_are_right_for_every_kubernetes(path: Path | None) -> None:
    made = rendered(values_of(path))
    assert {"CSIDriver", "ConfigMap", "DaemonSet", "ClusterRole", "ServiceAccount"} <= {each["kind"] for each in made}
    for version in VERSIONS if path is None else (VERSIONS[0], VERSIONS[-1]):
        for each in made:
            charts.validate(each, version)


def test_the_judge_refuses_an_unknown_key() -> None:
    driver = named("CSIDriver", "", rendered({}))
    driver["spec"]["requireRepublish"] = True
    with pytest.raises(Exception, match="requireRepublish"):
        charts.validate(driver, VERSIONS[0])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_right_for_every_kubernetes(path: Path) -> None:
    for version in VERSIONS:
        for each in objects(path.read_text()):
            charts.validate(each, version)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_an_example_refers_to_is_in_it(path: Path) -> None:
    made = objects(path.read_text())
    names = {(each["kind"], each["metadata"]["name"]) for each in made}
    for each in made:
        spec = each.get("spec", {})
        if each["kind"] == "PersistentVolume":
            assert ("PersistentVolumeClaim", spec["claimRef"]["name"]) in names
            assert spec["csi"]["volumeHandle"] == each["metadata"]["name"]
            assert (spec["csi"].get("nodePublishSecretRef") is None) or ("Secret", "s3-keys") in names
        elif each["kind"] == "PersistentVolumeClaim" and spec["storageClassName"]:
            assert ("StorageClass", spec["storageClassName"]) in names
        elif each["kind"] == "Pod":
            claims = [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
            assert all(("PersistentVolumeClaim", claim) in names for claim in claims)


def test_the_manifests_are_what_the_chart_gives() -> None:
    assert RENDER.main(["--check"]) == 0
    assert {path.name for path in RENDER.MANIFESTS.iterdir()} == set(RENDER.render({}, service="kubectl"))


def test_a_manifest_that_was_changed_by_hand_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RENDER, "MANIFESTS", tmp_path)
    assert RENDER.main([]) == 0
    assert RENDER.main(["--check"]) == 0
    (tmp_path / "node.yaml").write_text("by hand")
    assert RENDER.main(["--check"]) == 1
    assert "node.yaml: stale" in capsys.readouterr().err


def test_the_schema_refuses_an_unknown_value_and_a_moving_tag() -> None:
    for wrong in ({"drivrName": "x.y"}, {"node": {"kubeletPth": "/x"}}, {"image": {"tag": "latest"}}):
        with pytest.raises(jsonschema.ValidationError):
            rendered(wrong)


def test_every_value_of_the_schema_is_documented_in_the_values_but_those_that_mean_nothing() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    unused = {"$ref": "#/definitions/unused"}

    def compare(properties: dict[str, Any], present: dict[str, Any], where: str) -> None:
        assert present.keys() <= properties.keys()
        for key, kind in properties.items():
            assert kind == unused or key in present or key == "global", f"{where}{key}"
            if kind.get("additionalProperties") is False and isinstance(present.get(key), dict):
                compare(kind["properties"], present[key], f"{where}{key}.")

    compare(schema["properties"], values, "")


def test_values_of_theirs_that_mean_nothing_are_told() -> None:
    given = {"mountpointPod": {"namespace": "mount-s3"}, "node": {"logLevel": 4}, "sidecars": {"livenessProbe": {}}}
    notes = RENDER.render(given, service="Helm", notes=True)["NOTES.txt"]
    assert "mountpointPod, node.logLevel, sidecars.livenessProbe" in notes
    assert "mean nothing here" not in RENDER.render({}, service="Helm", notes=True)["NOTES.txt"]


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run([HADOLINT, KUBERNETES / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@EACH_VALUES
def test_nothing_but_the_supervisor_is_privileged(path: Path | None) -> None:
    for name, container in charts.containers(rendered(values_of(path))):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        if name.endswith("-supervisor"):
            assert security["privileged"] is True
        else:
            assert not security.get("privileged", False)
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_only_the_supervisor_mounts_for_the_host_and_sees_its_processes() -> None:
    for name, pod in charts.pods(rendered({})):
        propagation = {
            mount.get("mountPropagation", "None")
            for container in pod["containers"]
            for mount in container["volumeMounts"]
        }
        is_supervisor = name.endswith("-supervisor")
        assert ("Bidirectional" in propagation) == is_supervisor
        assert pod.get("hostPID", False) == is_supervisor
        if not is_supervisor:
            [kubelet] = [volume for volume in pod["volumes"] if volume["name"] == "kubelet"] or [None]
            if kubelet is not None:
                [mount] = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "kubelet"]
                assert mount["readOnly"] is True


def test_the_controller_is_nobody() -> None:
    pod = named("Deployment", "-controller", rendered({}))["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert all("hostPath" not in volume for volume in pod["volumes"])


@EACH_VALUES
def test_roles_have_no_wildcard_and_no_secrets(path: Path | None) -> None:
    for each in rendered(values_of(path)):
        for rule in each.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]


def test_the_supervisor_has_no_token_and_the_node_may_change_nothing_without_a_startup_taint() -> None:
    made = rendered({"node": {"removeStartupTaint": False}})
    supervisor = named("DaemonSet", "-supervisor", made)["spec"]["template"]["spec"]
    assert supervisor["automountServiceAccountToken"] is False
    rules = named("ClusterRole", "-node", made)["rules"]
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [(["serviceaccounts"], ["get"])]
    with_taint = named("ClusterRole", "-node", rendered({}))["rules"]
    assert (["nodes"], ["get", "patch"]) in [(rule["resources"], rule["verbs"]) for rule in with_taint]


@EACH_VALUES
def test_no_image_moves(path: Path | None) -> None:
    for _, container in charts.containers(rendered(values_of(path))):
        _, colon, tag = container["image"].rpartition(":")
        assert colon
        assert tag not in ("", "latest")


def test_every_container_has_probes_and_asks_for_resources() -> None:
    for _, container in charts.containers(rendered({})):
        assert "livenessProbe" in container
        for probe in (key for key in container if key.endswith("Probe")):
            assert container[probe]["timeoutSeconds"] >= 5, "python takes its time on a busy node"
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_both_pods_of_a_node_are_where_pods_with_volumes_may_be() -> None:
    made = rendered(values_of(KUBERNETES / "examples" / "values" / "cautious.yaml"))
    placed = [
        {key: pod[key] for key in ("nodeSelector", "affinity", "tolerations", "priorityClassName")}
        for name, pod in charts.pods(made)
        if name.endswith(("-supervisor", "-node"))
    ]
    assert len(placed) == 2
    assert placed[0] == placed[1]
    assert {"key": "s3.mountctl.io/agent-not-ready", "operator": "Exists"} in placed[0]["tolerations"]
    for _, pod in charts.pods(rendered({"controller": {"enabled": False}})):
        assert pod["tolerations"] == [{"operator": "Exists"}]


def test_a_name_of_theirs_is_a_driver_of_ours() -> None:
    made = rendered(values_of(KUBERNETES / "examples" / "values" / "in-place-of-s3-csi-driver.yaml"))
    named("CSIDriver", "s3.csi.aws.com", made)
    account = named("ServiceAccount", "s3-csi-driver-sa", made)
    assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]
    plugin = "/var/lib/kubelet/plugins/s3.csi.aws.com"
    for name, container in charts.containers(made):
        if name.endswith(("-supervisor", "-node")):
            assert f"--runtime-dir={plugin}" in container["args"]


def test_keys_of_the_secret_may_have_any_name_and_are_files_of_known_ones() -> None:
    made = rendered({"awsAccessSecret": {"name": "mine", "keyId": "ID", "accessKey": "KEY"}})
    volumes = [
        volume["secret"] for _, pod in charts.pods(made) for volume in pod["volumes"] if volume["name"] == "aws-secret"
    ]
    assert len(volumes) == 2
    for secret in volumes:
        assert (secret["secretName"], secret["optional"]) == ("mine", True)
        assert {item["path"]: item["key"] for item in secret["items"]} == {
            "key_id": "ID",
            "access_key": "KEY",
            "session_token": "session_token",
        }


def test_openshift_is_found_out_or_said() -> None:
    has_api = rendered({}, api_versions=["security.openshift.io/v1"])
    for made in (has_api, rendered({"isOpenShift": True})):
        named("RoleBinding", "-node-privileged", made)
        [supervisor] = [each for name, each in charts.containers(made) if name.endswith("-supervisor")]
        assert supervisor["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
    assert not [each for each in rendered({}) if each["metadata"]["name"].endswith("-privileged")]
    assert len(rendered({"isOpenShift": False}, api_versions=["security.openshift.io/v1"])) == len(rendered({}))


def test_a_controller_of_several_is_not_evicted_as_a_whole() -> None:
    named("PodDisruptionBudget", "-controller", rendered({"controller": {"replicas": 2}}))
    assert not [each for each in rendered({}) if each["kind"] == "PodDisruptionBudget"]


def test_the_monitor_asks_the_port_that_tells_metrics() -> None:
    made = rendered({"podMonitor": {"enabled": True}})
    monitor = named("PodMonitor", "-node", made)["spec"]
    node = named("DaemonSet", "-node", made)["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= node["metadata"]["labels"].items()
    [endpoint] = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in node["spec"]["containers"][0]["ports"]]
    assert endpoint["path"] == "/metrics"


def test_what_the_cluster_must_promise_the_driver() -> None:
    spec = named("CSIDriver", "s3.mountctl.io", rendered({}))["spec"]
    assert [token["audience"] for token in spec.pop("tokenRequests")] == ["sts.amazonaws.com", "pods.eks.amazonaws.com"]
    assert spec == {
        "attachRequired": False,
        "podInfoOnMount": True,
        "requiresRepublish": True,
        "volumeLifecycleModes": ["Persistent", "Ephemeral"],
        "fsGroupPolicy": "None",
        "seLinuxMount": False,
    }
