"""packaging/grafana and packaging/prometheus: they ask only for what there is, and rules do what they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from mountctl.metrics.families import MOUNTS, SUPERVISOR, UP

PACKAGING: Final = Path(__file__).parents[2] / "packaging"
DASHBOARD: Final = json.loads((PACKAGING / "grafana" / "mountctl.json").read_text())
RULES: Final = PACKAGING / "prometheus" / "mountctl.rules.yml"
SUFFIXES: Final = ("_bucket", "_sum", "_count")

# What PromQL itself, Prometheus and Grafana bring along.
_WORDS: Final = re.compile(r"\bmountctl_[a-z0-9_]+")
_LABELS: Final = re.compile(r"([a-z_]+)(?:=~|!~|!=|=)\"")


def known() -> dict[str, set[str]]:
    """The labels of each metric that a query may ask for."""
    found = {family.sample_name: {"instance", *family.labels} for family in (UP, *SUPERVISOR)}
    for family in MOUNTS:
        names = [family.sample_name]
        if family.kind == "histogram":
            names = [family.sample_name + suffix for suffix in SUFFIXES]
        found |= {name: {"instance", "mount", *family.labels} for name in names}
    return found


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield from [panel, *panel.get("panels", [])]


def queries() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_asks_only_for_what_there_is(query: str) -> None:
    metrics = known()
    names = _WORDS.findall(query)

    assert names
    assert set(names) <= metrics.keys()
    allowed = set().union(*(metrics[name] for name in names)) | {"job"}
    assert set(_LABELS.findall(query)) <= allowed


def test_every_panel_has_a_place_of_its_own_a_unit_and_a_description() -> None:
    ids = [panel["id"] for panel in panels()]
    shown = [panel for panel in panels() if panel["type"] != "row"]
    places = [
        (x, y)
        for panel in panels()
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert len(ids) == len(set(ids))
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    for panel in shown:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus")
def test_each_alert_is_told_when_it_is_to_be_and_only_then() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "mountctl.rules.test.yml"], cwd=RULES.parent, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_both_ways() -> None:
    rules = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    tests = yaml.safe_load((RULES.parent / "mountctl.rules.test.yml").read_text())["tests"]
    quiet, loud = ({each["alertname"] for each in test["alert_rule_test"]} for test in tests)

    assert rules == quiet == loud
