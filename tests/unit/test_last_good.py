"""The last good configuration as it is kept, and what else the state directory names after a runtime directory."""

import json
import os
from pathlib import Path

import pytest

from engine.spec import MountSpec
from mountctl.config.load import Config, SupervisorSpec
from mountctl.errors import ConfigError, Problem
from mountctl.supervisor.holds import Holds
from mountctl.supervisor.last_good import LastGood
from mountctl.supervisor.mounts_file import MountsFile
from mountctl.supervisor.uploads_file import UploadFiles

NO_TEXT = os.fsdecode(b"no-text-\xff")
SPEC = MountSpec.model_validate({"name": "a", "bucket": "some-bucket", "mountpoint": "/mnt/a"})


BROKEN = ConfigError([Problem(Path("x.toml"), 1, 1, "", "not TOML")])


@pytest.mark.parametrize("name", ["x.toml", "ü.toml", NO_TEXT])
def test_what_was_in_force_is_found_again_whatever_the_files_are_named(tmp_path: Path, name: str) -> None:
    config = Config(path=tmp_path / name, files=(), supervisor=SupervisorSpec(), mounts={"a": SPEC})
    kept = LastGood(tmp_path / NO_TEXT, Path("/run") / name, config.path)
    kept.note(config)

    found, told = LastGood(tmp_path / NO_TEXT, Path("/run") / name, config.path).instead_of(BROKEN)

    assert (found.path, found.mounts) == (config.path, {"a": SPEC})
    assert not told.ok
    with pytest.raises(ConfigError):
        LastGood(tmp_path / NO_TEXT, Path("/run") / name, tmp_path / "another").instead_of(BROKEN)


def test_what_an_older_supervisor_has_kept_is_read(tmp_path: Path) -> None:
    told = {"path": "/etc/ü.toml", "at": 1.5, "supervisor": {}, "mounts": [SPEC.model_dump(mode="json", by_alias=True)]}
    file = tmp_path / "last-good" / "%2Frun%2F%C3%BC.json"
    file.parent.mkdir()
    file.write_text(json.dumps(told, ensure_ascii=False))

    assert LastGood(tmp_path, Path("/run/ü"), Path("/etc/ü.toml")).instead_of(BROKEN)[0].mounts == {"a": SPEC}


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b'{"path": 1}', b'{"path": "/x"'])
def test_what_is_no_such_file_is_not_served(tmp_path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "last-good").mkdir()
    (tmp_path / "last-good" / "%2Frun%2Fm.json").write_bytes(garbage)

    with pytest.raises(ConfigError):
        LastGood(tmp_path, Path("/run/m"), Path("/x")).instead_of(BROKEN)
    assert "cannot read" in caplog.text


def test_a_runtime_directory_that_is_no_text_has_its_files_in_the_state_directory(tmp_path: Path) -> None:
    runtime_dir = Path("/run") / NO_TEXT
    holds = Holds(tmp_path, runtime_dir)
    holds.add("a", "root")
    assert holds.write() is None
    MountsFile(tmp_path, runtime_dir).finish()
    uploads = UploadFiles(tmp_path, runtime_dir)
    uploads.open()

    assert Holds(tmp_path, runtime_dir).held().keys() == {"a"}
    assert uploads.directory.name == "%2Frun%2Fno-text-%FF"
