"""The guides tell of what there is, and the examples are taken by the driver as they are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mountctl.csi import attributes, mount_flags, storage_class
from mountctl.metrics import exposition
from tests.csi.charts import CHART, EXAMPLES, KUBERNETES, VALUES, objects, rendered, values_of
from tests.csi.test_metrics import STATUS

GUIDES = KUBERNETES.parents[1] / "docs" / "guides"
KUBERNETES_GUIDE = GUIDES / "kubernetes.md"
MOVING_GUIDE = GUIDES / "moving-from-s3-csi-driver.md"
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def volumes(path: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The attributes and the mount options of each volume in an example."""
    for each in objects(path.read_text()):
        spec = each.get("spec", {})
        if each["kind"] == "PersistentVolume":
            yield spec["csi"]["volumeAttributes"], spec.get("mountOptions", [])
        for volume in spec.get("volumes", []):
            if "csi" in volume:
                yield volume["csi"]["volumeAttributes"], []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_driver_takes_an_example_as_it_is(path: Path) -> None:
    for given, options in volumes(path):
        told = attributes.parse(given)
        flags = mount_flags.parse([*options, *told.mount_options])
        assert (*told.notes, *flags.notes) == ()


def test_the_controller_takes_every_storage_class_as_it_is() -> None:
    classes = [each for path in EXAMPLES for each in objects(path.read_text()) if each["kind"] == "StorageClass"]
    classes += [each for path in VALUES for each in rendered(values_of(path)) if each["kind"] == "StorageClass"]
    assert len(classes) >= 2
    for each in classes:
        assert storage_class.storage_class(each["parameters"]).bucket


def test_a_template_that_an_example_names_is_among_the_values_that_it_names() -> None:
    [(given, _)] = volumes(KUBERNETES / "examples" / "template.yaml")
    config = values_of(KUBERNETES / "examples" / "values" / "templates-and-inline.yaml")["config"]
    assert f"[template.{given['profile']}]" in config


@pytest.mark.parametrize("guide", [KUBERNETES_GUIDE, MOVING_GUIDE], ids=lambda path: path.stem)
def test_links_of_a_guide_lead_somewhere(guide: Path) -> None:
    links = LINK.findall(guide.read_text())
    assert links
    assert [link for link in links if not (guide.parent / link).exists()] == []


def test_every_example_is_in_the_guide() -> None:
    text = KUBERNETES_GUIDE.read_text()
    assert [path.name for path in EXAMPLES if path.name not in text] == []


def test_every_attribute_and_parameter_is_in_the_guides() -> None:
    text = KUBERNETES_GUIDE.read_text() + MOVING_GUIDE.read_text()
    assert [key for key in attributes.KNOWN if f"`{key}`" not in text and _short(key) not in text] == []
    assert [key for key in storage_class.SETTINGS if f"`{key}`" not in text] == []


def _short(key: str) -> str:
    """As the page abbreviates keys of one kind."""
    return f"`{key.replace('mountpointContainerResources', '...')}`"


def test_every_value_of_the_chart_that_means_nothing_is_in_the_page_about_moving() -> None:
    text = MOVING_GUIDE.read_text()
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    unused = {"$ref": "#/definitions/unused"}
    told = [key for key, kind in schema["properties"].items() if kind == unused]
    told += [f"node.{key}" for key, kind in schema["properties"]["node"]["properties"].items() if kind == unused]
    assert [key for key in told if f"`{key}" not in text] == []


def test_every_metric_in_the_guide_is_one() -> None:
    named = set(re.findall(r"mountctl_[a-z0-9_]+", KUBERNETES_GUIDE.read_text()))
    there = {line.split()[2] for line in exposition.text(STATUS).splitlines() if line.startswith("# TYPE ")}
    there |= {"mountctl_credentials_expiry_timestamp_seconds"}
    assert named
    assert named <= there
