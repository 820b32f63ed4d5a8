#!/usr/bin/env python3
"""The chart without helm, and the plain manifests made from it.

`render.py` writes packaging/kubernetes/manifests; `render.py --check` (in `make check`) writes nothing and fails if one
of them is not what the chart gives; `render.py --values FILE` prints what helm would install for these values.
"""

import argparse
import json
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml
from gotpl.exts.helm import HelmTemplateEngine

_HERE: Final = Path(__file__).resolve().parent
CHART: Final = _HERE / "chart"
MANIFESTS: Final = _HERE / "manifests"

# Where components of a cluster live that every pod depends on, as CSI drivers mostly do.
_NAMESPACE: Final = "kube-system"
_RELEASE: Final = "mountctl-s3"
_MADE: Final = "# Made by packaging/kubernetes/render.py from the chart: change it there.\n"
_COMMENT: Final = re.compile(r"\s*(#.*)?")


@dataclass(frozen=True)
class ApiVersions:
    """`.Capabilities.APIVersions`: what the cluster serves."""

    known: frozenset[str] = frozenset()

    def Has(self, version: str) -> bool:  # noqa: N802 - as templates call it
        """Whether it has this group and version."""
        return version in self.known


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 if a manifest is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--values", type=Path, help="print the objects for a file of values")
    asked = parser.parse_args(arguments)
    if asked.values is not None:
        rendered = render(yaml.safe_load(asked.values.read_text()) or {}, service="Helm")
        sys.stdout.write("".join(f"---\n# {name}\n{text}" for name, text in rendered.items()))
        return 0
    wanted = {name: _MADE + text for name, text in render({}, service="kubectl").items()}
    present = {path.name: path.read_text() for path in MANIFESTS.glob("*.yaml")}
    if asked.check:
        stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        for name in stale:
            sys.stderr.write(f"{MANIFESTS / name}: stale, run {Path(__file__).name}\n")
        return 1 if stale else 0
    for name in present.keys() - wanted.keys():
        (MANIFESTS / name).unlink()
    for name, text in wanted.items():
        (MANIFESTS / name).write_text(text)
    return 0


def render(
    given: Mapping[str, Any], *, service: str, api_versions: Collection[str] = (), notes: bool = False
) -> dict[str, str]:
    """Objects by the template's file name; those of which nothing is left are not there.

    Args:
        given: values beside the chart's own.
        service: `.Release.Service`: who installs it.
        api_versions: groups and versions that the cluster has.
        notes: NOTES.txt too.

    Raises jsonschema.ValidationError for values that the schema refuses; gotpl's errors.
    """
    values = merged(yaml.safe_load((CHART / "values.yaml").read_text()), given)
    jsonschema.validate(values, json.loads((CHART / "values.schema.json").read_text()))
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    context = {
        "Values": values,
        "Chart": {"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
        "Release": {"Name": _RELEASE, "Namespace": _NAMESPACE, "Service": service},
        "Capabilities": {"APIVersions": ApiVersions(frozenset(api_versions))},
    }
    sources = {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}
    wanted = [name for name in sources if name.endswith(".yaml") or (notes and name == "NOTES.txt")]
    rendered = HelmTemplateEngine.from_sources(sources).render(dict.fromkeys(wanted, context))
    texts = {name: text.strip("\n") + "\n" for name, text in rendered.items()}
    return {name: text for name, text in texts.items() if not _is_empty(text)}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """As helm lays values over each other: tables key by key, all else as a whole; null takes a key away."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            result[key] = merged(base[key], value)
        else:
            result[key] = value
    return result


def _is_empty(text: str) -> bool:
    return all(_COMMENT.fullmatch(line) for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
