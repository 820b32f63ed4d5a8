"""mountctl/csi/startup_taint.py: the taint of a node goes when kubelet has registered the driver, and no other does."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mountctl.csi import startup_taint
from mountctl.csi.startup_taint import StartupTaint, delay
from tests.csi.api_server import Answer, ApiServer

DRIVER = "s3.mountctl.io"
NODE = "/api/v1/nodes/node-1"
CSI_NODE = "/apis/storage.k8s.io/v1/csinodes/node-1"
OURS = {"key": f"{DRIVER}/agent-not-ready", "effect": "NoExecute"}
OTHER = {"key": "ebs.csi.aws.com/agent-not-ready", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr(startup_taint, "_DELAY_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(startup_taint, "_DELAY_MAX_SECONDS", 0.02)
    it = ApiServer(tmp_path)
    it.objects[CSI_NODE] = {"spec": {"drivers": [{"name": DRIVER}]}}
    it.objects[NODE] = {"spec": {"taints": [OTHER, OURS]}}
    yield it
    it.close()


def remove(server: ApiServer, driver: str = DRIVER) -> bool:
    return StartupTaint(server.api(), "node-1", driver).remove(threading.Event())


def taints(server: ApiServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.objects[NODE]["spec"]["taints"]
    return found


def test_the_drivers_taint_goes_and_the_others_stay(server: ApiServer) -> None:
    assert remove(server)
    assert taints(server) == [OTHER]


def test_a_driver_that_takes_the_place_of_another_removes_the_taint_of_its_name(server: ApiServer) -> None:
    theirs = {"key": "s3.csi.aws.com/agent-not-ready", "effect": "NoExecute"}
    server.objects[CSI_NODE] = {"spec": {"drivers": [{"name": "s3.csi.aws.com"}]}}
    server.objects[NODE] = {"spec": {"taints": [theirs]}}

    assert remove(server, "s3.csi.aws.com")
    assert taints(server) == []


@pytest.mark.parametrize("node", [{"spec": {"taints": [OTHER]}}, {"spec": {}}, {}], ids=str)
def test_a_node_without_the_taint_is_left_as_it_is(server: ApiServer, node: dict[str, Any]) -> None:
    server.objects[NODE] = node

    assert remove(server)
    assert "PATCH" not in [seen[0] for seen in server.seen]


def test_it_stays_until_kubelet_has_registered_the_driver(server: ApiServer) -> None:
    registered = server.objects[CSI_NODE]
    server.objects[CSI_NODE] = {"spec": {"drivers": None}}

    def decide(method: str, path: str) -> Answer | None:
        asked = [seen for seen in server.seen if seen[1] == CSI_NODE]
        assert method == "GET" or server.objects[CSI_NODE] is registered
        if path == CSI_NODE and len(asked) == 3:
            server.objects[CSI_NODE] = registered
        return None

    server.decide = decide

    assert remove(server)
    assert taints(server) == [OTHER]


def test_a_node_that_somebody_else_changes_meanwhile_is_read_again(server: ApiServer) -> None:
    added = {"key": "maintenance", "effect": "NoSchedule"}

    def decide(method: str, _path: str) -> Answer | None:
        if method == "PATCH" and added not in taints(server):
            taints(server).append(added)
        return None

    server.decide = decide

    assert remove(server)
    assert taints(server) == [OTHER, added]


def test_an_api_that_refuses_is_asked_a_bounded_number_of_times_and_told_once(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.decide = lambda _method, _path: (403, {})

    with caplog.at_level(logging.INFO):
        assert not remove(server)

    assert len(server.seen) == startup_taint.TRIES_MAX
    assert caplog.text.count("stays for now") == 1
    assert "was not removed" in caplog.text


def test_who_waits_ends_at_once_when_it_is_asked_to(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup_taint, "_DELAY_FIRST_SECONDS", 3600.0)
    monkeypatch.setattr(startup_taint, "_DELAY_MAX_SECONDS", 3600.0)
    server.objects[CSI_NODE] = {}
    stop, results = threading.Event(), list[bool]()
    taint = StartupTaint(server.api(), "node-1", DRIVER)
    thread = threading.Thread(target=lambda: results.append(taint.remove(stop)), daemon=True)
    thread.start()
    stop.set()
    thread.join(30)

    assert results == [False]


def test_delays_grow_to_a_minute() -> None:
    assert [delay(tries) for tries in (1, 2, 3, 7, 100)] == [1, 2, 4, 60, 60]
