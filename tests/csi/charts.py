"""The chart, the manifests and the examples of packaging/kubernetes, as objects."""

import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import kubernetes_validate
import yaml
from kubernetes_validate import utils

KUBERNETES: Final = Path(__file__).parents[2] / "packaging" / "kubernetes"
CHART: Final = KUBERNETES / "chart"
SCHEMAS: Final = Path(utils.__file__).parent / "kubernetes-json-schema"
EXAMPLES: Final = sorted((KUBERNETES / "examples").glob("*.yaml"))
VALUES: Final = sorted((KUBERNETES / "examples" / "values").glob("*.yaml"))
# Kinds that Kubernetes itself does not know.
FOREIGN: Final = frozenset({"PodMonitor"})

# What the driver is for, and newer.
_OLDEST: Final = (1, 29)
VERSIONS: Final = sorted({each for each in utils.all_versions() if tuple(map(int, each.split(".")[:2])) >= _OLDEST})

Object = dict[str, Any]


def _render_module() -> ModuleType:
    """packaging/kubernetes/render.py, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("render", KUBERNETES / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


RENDER: Final = _render_module()


def values_of(path: Path | None) -> dict[str, Any]:
    """What a file gives beside the chart's own values; None: nothing."""
    return {} if path is None else yaml.safe_load(path.read_text())


def rendered(given: Mapping[str, Any], **more: Any) -> list[Object]:
    """The objects for these values, by gotpl."""
    return [each for text in RENDER.render(given, service="Helm", **more).values() for each in objects(text)]


def objects(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def named(kind: str, name: str, among: Iterable[Object]) -> Object:
    """The one object of this kind whose name ends so."""
    [found] = [each for each in among if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return found


def kinds(among: Iterable[Object]) -> set[str]:
    return {each["kind"] for each in among}


def pods(among: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """The name of what makes it, and the specification of each pod."""
    for each in among:
        if each["kind"] in ("DaemonSet", "Deployment"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]


def containers(among: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """The name of what makes it, and each container."""
    for name, pod in pods(among):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield name, container


@cache
def _schema(filename: str) -> Any:
    return json.loads((SCHEMAS.parent / filename).read_text())


def validate(each: Object, version: str) -> None:
    """Judge an object by Kubernetes' schema of that version, unknown keys included. Raises ValidationError."""
    if each["kind"] not in FOREIGN:
        kubernetes_validate.validate(each, version, strict=True)


def schema_of(filename: str, _version: str) -> Any:
    """In place of kubernetes_validate's own, which reads megabytes anew for each object."""
    return _schema(filename)


def toml_of(among: Iterable[Object]) -> dict[str, str]:
    """The supervisor's files as the pod sees them, by path below the mounted directory."""
    among = list(among)
    data = named("ConfigMap", "-config", among)["data"]
    pod = dict(pods(among))[named("DaemonSet", "-supervisor", among)["metadata"]["name"]]
    [items] = [volume["configMap"]["items"] for volume in pod["volumes"] if volume["name"] == "config"]
    return {item["path"]: data[item["key"]] for item in items}
