"""The AWS files of a test, and no others."""

import stat
from pathlib import Path

import pytest


class Files:
    """The two AWS files of a test, and programs beside them."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.config = directory / "config"
        self.credentials = directory / "credentials"
        monkeypatch.setenv("AWS_CONFIG_FILE", str(self.config))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(self.credentials))

    def program(self, body: str) -> Path:
        path = self.directory / "helper"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path
