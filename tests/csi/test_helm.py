"""The chart by helm itself, which gotpl stands in for elsewhere; and its objects by kubeconform."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.csi import charts
from tests.csi.charts import CHART, SCHEMAS, VALUES, VERSIONS, objects, rendered, values_of

BIN = Path(sys.executable).parent
HELM, KUBECONFORM = BIN / "helm", BIN / "kubeconform"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HELM.exists() and KUBECONFORM.exists()), reason="no helm and kubeconform: packaging/setup-go needs Go"
    ),
]
EACH_VALUES = pytest.mark.parametrize("path", [None, *VALUES], ids=lambda path: path.stem if path else "defaults")


def helm(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *arguments], capture_output=True, text=True)


def template(path: Path | None) -> str:
    values = [] if path is None else ["--values", path]
    done = helm("template", "mountctl-s3", CHART, "-n", "kube-system", "--kube-version", VERSIONS[-1], *values)
    assert done.returncode == 0, done.stderr
    return done.stdout


@EACH_VALUES
def test_helm_makes_of_the_chart_what_gotpl_does(path: Path | None) -> None:
    def by_name(made: list[charts.Object]) -> dict[tuple[str, str], charts.Object]:
        return {(each["kind"], each["metadata"]["name"]): each for each in made}

    assert by_name(objects(template(path))) == by_name(rendered(values_of(path)))


def schemas(version: str, directory: Path, made: list[charts.Object]) -> str:
    """Kubernetes' schemas of these kinds, each in one piece: kubeconform resolves no references to another file."""
    source = SCHEMAS / f"v{version}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    for each in made:
        group, _, api = each["apiVersion"].rpartition("/")
        name = "-".join(part for part in (each["kind"].lower(), group.partition(".")[0], api) if part) + ".json"
        if each["kind"] not in charts.FOREIGN:
            schema = json.loads((source / name).read_text()) | {"$defs": definitions}
            del schema["$id"]
            (directory / name).write_text(json.dumps(schema).replace("/api/_definitions.json#", "#"))
    return f"{directory}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"


@EACH_VALUES
@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_kubeconform_finds_nothing(tmp_path: Path, path: Path | None, version: str) -> None:
    text = template(path)
    location = schemas(version, tmp_path, objects(text))
    judged = subprocess.run(
        [KUBECONFORM, "-strict", "-summary", "-skip", ",".join(charts.FOREIGN), "-schema-location", location, "-"],
        input=text,
        capture_output=True,
        text=True,
    )
    assert (judged.returncode, judged.stderr) == (0, "")
    assert "Invalid: 0, Errors: 0" in judged.stdout
    assert "Valid: 0," not in judged.stdout


def test_helm_finds_the_chart_right() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


def test_helm_refuses_an_unknown_value() -> None:
    done = helm("template", "x", CHART, "--kube-version", VERSIONS[-1], "--set", "drivrName=x.y")
    assert done.returncode != 0
    assert "drivrName" in done.stderr
