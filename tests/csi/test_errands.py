"""What the driver's process does beside answering: that it ends when it is asked, and what a sweep may take."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from mountctl.csi import errands
from mountctl.csi.credentials.files import CredentialFiles
from mountctl.csi.credentials.volumes import VolumeCredentials
from mountctl.errors import MountctlError
from mountctl.volume import Applied, Apply, Release, Released


class Supervisor:
    """Answers with volumes of these names, after so many times with nothing."""

    def __init__(self, *names: str, silent: int = 0) -> None:
        self.names = names
        self.silent = silent

    def status(self, names: Any = (), *, seconds: float | None = None) -> dict[str, Any]:
        if self.silent:
            self.silent -= 1
            raise MountctlError("nothing listens")
        return {"mounts": [{"name": name, "state": "ready", "reason": None, "volume": {}} for name in self.names]}

    def apply(self, apply: Apply, *, seconds: float | None = None) -> Applied:
        raise NotImplementedError

    def release(self, release: Release, *, seconds: float | None = None) -> Released:
        raise NotImplementedError


class Listing(Supervisor):
    """Answers with these names, one list after the other, and has the sweep end after the last one."""

    def __init__(self, stop: threading.Event, *lists: tuple[str, ...] | None) -> None:
        super().__init__()
        self.lists = [*lists]
        self.stop = stop

    def status(self, names: Any = (), *, seconds: float | None = None) -> dict[str, Any]:
        told = self.lists.pop(0)
        if not self.lists:
            self.stop.set()
        self.silent, self.names = (1, ()) if told is None else (0, told)
        return super().status(names, seconds=seconds)


def left(directory: Path) -> list[str]:
    return sorted(each.name for each in (directory / "credentials").iterdir())


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "SWEEP_SECONDS", 0.01)


@pytest.mark.usefixtures("_at_once")
def test_a_sweep_waits_for_a_supervisor_and_leaves_what_is_mounted_or_was_written_since(tmp_path: Path) -> None:
    for name in ("mounted", "gone", "republished"):
        CredentialFiles(tmp_path).write(name, {"token": "x"})
    files, stop = CredentialFiles(tmp_path), threading.Event()
    files.write("republished", {"token": "x"})

    errands.sweep(VolumeCredentials(files), Listing(stop, None, None, ("mounted",)), stop)

    assert left(tmp_path) == ["mounted", "republished"]


@pytest.mark.usefixtures("_at_once")
def test_a_mount_that_went_by_itself_leaves_no_credentials(tmp_path: Path) -> None:
    now, stop = 0.0, threading.Event()

    def clock() -> float:
        nonlocal now
        now += 1000.0
        return now

    files = CredentialFiles(tmp_path, clock)
    files.write("lingers", {"token": "x"})

    errands.sweep(VolumeCredentials(files), Listing(stop, ("lingers",), ()), stop)
    assert left(tmp_path) == ["lingers"], "a supervisor that has just begun may not know it yet"

    stop.clear()
    errands.sweep(VolumeCredentials(files), Listing(stop, ("lingers",), (), ()), stop)
    assert left(tmp_path) == []


def test_they_end_when_they_are_asked_and_before_their_time(tmp_path: Path) -> None:
    ended = threading.Event()

    def waits(stop: threading.Event) -> None:
        errands.sweep(VolumeCredentials(CredentialFiles(tmp_path)), Supervisor(), stop)
        ended.set()

    with errands.Errands({"waits": waits}):
        assert not ended.is_set()
    assert ended.wait(30)


def test_one_that_fails_is_told_without_its_text_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    went_on, failed = threading.Event(), threading.Event()

    def fails(_stop: threading.Event) -> None:
        failed.set()
        raise RuntimeError("very-secret")

    def goes_on(_stop: threading.Event) -> None:
        assert failed.wait(30)
        went_on.set()

    with caplog.at_level(logging.ERROR), errands.Errands({"fails": fails, "goes-on": goes_on}):
        assert went_on.wait(30)
    assert "fails ended: unexpected RuntimeError" in caplog.text
    assert "very-secret" not in caplog.text
