"""What containers run is what the program has: a renamed option, or a wrong configuration file, is noticed here."""

from pathlib import Path
from typing import Any

import pytest

from mountctl import parser
from mountctl.config.load import examine
from mountctl.csi.node_process import END_SECONDS_MAX
from tests.csi import charts
from tests.csi.charts import VALUES, rendered, values_of

EACH_VALUES = pytest.mark.parametrize("path", [None, *VALUES], ids=lambda path: path.stem if path else "defaults")


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command of a command line and its options, as the program has them; nothing is run."""
    command = parser.program().commands[arguments[0]]
    return arguments[0], command.make_context(arguments[0], list(arguments[1:])).params


@EACH_VALUES
def test_every_container_of_ours_is_started_with_options_that_there_are(path: Path | None) -> None:
    made = rendered(values_of(path))
    started = {}
    for _, container in charts.containers(made):
        if "mountctl-s3:" in container["image"]:
            command, options = parsed(container["args"])
            started[command] = options

    expected = {"run", "csi-node"} | ({"csi-controller"} if charts.kinds(made) & {"Deployment"} else set())
    assert started.keys() == expected
    # Both pods of a node meet at one directory, and it is where kubelet looks.
    assert started["run"]["runtime_dir"] == started["csi-node"]["runtime_dir"]
    assert started["csi-node"]["endpoint"] == f"unix:{started['run']['runtime_dir']}/csi.sock"
    assert started["run"]["fd_holder"] == "external"


@EACH_VALUES
def test_every_probe_that_runs_something_runs_what_there_is(path: Path | None) -> None:
    commands = [
        container[probe]["exec"]["command"]
        for _, container in charts.containers(rendered(values_of(path)))
        for probe in container
        if probe.endswith("Probe") and "exec" in container[probe]
    ]
    assert commands
    for command in commands:
        assert command[0] == "mountctl"
        assert parsed(command[1:])[0] == "status"


def test_the_supervisor_has_time_to_end_before_it_is_killed() -> None:
    made = rendered({"supervisor": {"leaveSeconds": 100}})
    for name, pod in charts.pods(made):
        if name.endswith(("-supervisor", "-node")):
            assert pod["terminationGracePeriodSeconds"] > 100
        for container in pod["containers"]:
            if container["name"] == "supervisor":
                assert parsed(container["args"])[1]["leave_seconds"] == 100
            if container["name"] == "csi-node":
                patience = parsed(container["args"])[1]["holder_patience"]
                assert 100 < patience < pod["terminationGracePeriodSeconds"] - END_SECONDS_MAX


def test_the_startup_taint_stays_where_the_chart_gives_no_permission_to_remove_it() -> None:
    for removes in (True, False):
        made = rendered({"node": {"removeStartupTaint": removes}})
        [node] = [each for name, each in charts.containers(made) if name.endswith("-node")]
        assert parsed(node["args"])[1]["startup_taint"] is removes


@EACH_VALUES
def test_the_configuration_of_the_supervisors_is_right(tmp_path: Path, path: Path | None) -> None:
    for name, text in charts.toml_of(rendered(values_of(path))).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    examined = examine(tmp_path / "mountpoint-s3.toml")

    assert examined.problems == ()
    # It is for a kubelet's directory, and for that of this chart.
    assert str(examined.config.csi.target_directory) == "/var/lib/kubelet/pods"


def test_what_an_administrator_writes_wins_over_the_chart() -> None:
    files = charts.toml_of(rendered({"config": "[csi]\nlinger = 5\n"}))
    assert list(files) == ["mountpoint-s3.toml", "mountpoint-s3.d/config.toml"]
    assert files["mountpoint-s3.d/config.toml"] == "[csi]\nlinger = 5\n"
