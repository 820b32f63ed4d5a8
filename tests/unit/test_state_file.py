"""Files of the state directory: what can't be used is told, without what is in it, and stops nothing."""

import logging
from pathlib import Path

import pytest
from pydantic import BaseModel

from mountctl.supervisor import state_file


class Noted(BaseModel):
    keys: dict[str, int]


NONE = Noted(keys={})
LOST = "it is not known"


def test_what_is_kept_is_read_and_nothing_where_there_is_no_file(tmp_path: Path) -> None:
    path = state_file.path_of(tmp_path, "kind", Path("/run/m"))
    assert state_file.read(path, Noted, LOST) is None
    assert state_file.read(path, Noted, LOST, absent=NONE) is NONE

    assert state_file.keep(path, '{"keys": {"a": 1}}', LOST, mode=0o600) is None
    found = state_file.read(path, Noted, LOST, absent=NONE)
    state_file.remove(path)
    state_file.remove(path)

    assert found == Noted(keys={"a": 1})
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "garbage", ["", "[", "[" * 100_000, '["private"]', '{"keys": {"a": "private"}}', '{"private": 1']
)
def test_a_file_that_is_broken_is_told_without_what_is_in_it(
    tmp_path: Path, garbage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_text(garbage)

    assert state_file.read(path, Noted, LOST, absent=NONE) is None
    assert f"cannot read {path}, so {LOST}: " in caplog.text
    assert "private" not in caplog.text
    assert len(caplog.records) == 1


def test_a_file_that_cannot_be_written_or_removed_is_told_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kind" / "file"
    (path / "below").mkdir(parents=True)

    assert state_file.keep(path, "{}", LOST) == "Is a directory"
    state_file.remove(path)

    assert [record.getMessage() for record in caplog.records] == [
        f"cannot write {path}, so {LOST}: Is a directory",
        f"cannot remove {path}: Is a directory",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
