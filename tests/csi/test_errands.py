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


def test_a_sweep_waits_for_a_supervisor_and_leaves_what_is_mounted_or_was_written_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "SWEEP_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(errands, "_SWEEP_AGAIN_SECONDS", 0.01)
    for name in ("mounted", "gone", "republished"):
        CredentialFiles(tmp_path).write(name, {"token": "x"})
    files = CredentialFiles(tmp_path)
    files.write("republished", {"token": "x"})

    errands.sweep(VolumeCredentials(files), Supervisor("mounted", silent=2), threading.Event())

    assert sorted(each.name for each in (tmp_path / "credentials").iterdir()) == ["mounted", "republished"]


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
