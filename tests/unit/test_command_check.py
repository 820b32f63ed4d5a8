"""`mountctl check`: what it prints and how it ends."""

import json
import os
from pathlib import Path

import pytest

from mountctl.commands.check import check
from mountctl.errors import ConfigError, Problem

MOUNT = '[mount.a]\nbucket = "bbb"\nmountpoint = "/mnt/a"\n'


@pytest.mark.parametrize(("mounts", "told"), [("", "0 mounts"), (MOUNT, "1 mount")])
def test_a_good_file_is_told_with_its_number_of_mounts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mounts: str, told: str
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(mounts)
    assert check(path, path.parent) == 0
    assert capsys.readouterr() == (f"{path}: {told}, no errors\n", "")


def test_drop_ins_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MOUNT)
    (tmp_path / "m.d").mkdir()
    (tmp_path / "m.d" / "b.toml").write_text(MOUNT.replace("a", "b").replace("bbb", "ccc"))
    assert check(path, path.parent) == 0
    assert capsys.readouterr().out == f"{path} with 1 drop-in: 2 mounts, no errors\n"


def test_errors_are_printed_one_a_line_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MOUNT + 'uid = 0\nprefix = "a\\nb"\n')
    assert check(path, path.parent) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"{path}:4:1: mount.a.uid: must be between 1 and 4294967294, not 0",
        f"{path}:5:1: mount.a.prefix: must end in '/': write 'a\\nb/'",
    ]


def test_warnings_are_told_and_refuse_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    (tmp_path / "full" / "something").mkdir(parents=True)
    path.write_text(MOUNT.replace("/mnt/a", f"{tmp_path}/full") + "uid = 5\n")
    assert check(path, path.parent) == 0
    first, second, summary = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}:3:1: warning: mount.a.mountpoint: not empty")
    assert second.startswith(f"{path}:4:1: warning: mount.a.uid: this user can't get in")
    assert summary == f"{path}: 1 mount, no errors, 2 warnings"


def test_json_has_every_problem_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MOUNT + MOUNT.replace("mount.a", "mount.b").replace("mnt/a", "mnt/b") + "  uid = 0\n[template.x]\n")
    assert check(path, path.parent, as_json=True) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["ok"], told["files"], told["mounts"]) == (1, False, [str(path)], ["a"])
    assert told["problems"] == [
        {
            "severity": "error",
            "file": str(path),
            "line": 7,
            "column": 3,
            "key": "mount.b.uid",
            "reason": "must be between 1 and 4294967294, not 0",
        },
        {
            "severity": "warning",
            "file": str(path),
            "line": 8,
            "column": 1,
            "key": "template.x",
            "reason": 'no mount has it: write use = "x" in one, or remove it',
        },
    ]


def test_json_of_a_good_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MOUNT)
    assert check(path, path.parent, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "ok": True,
        "files": [str(path)],
        "mounts": ["a"],
        "problems": [],
    }


def test_json_of_a_file_whose_name_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.toml")
    assert check(path, path.parent, as_json=True) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["file"] == f"{tmp_path}/m\\xff.toml"


def test_a_good_file_whose_name_is_not_utf_8_is_named_as_in_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.toml")
    path.write_text(MOUNT)
    assert check(path, path.parent) == 0
    assert f"{tmp_path}/m\\xff.toml: 1 mount, no errors" in capsys.readouterr().out


def test_check_mounts_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.toml").write_text(MOUNT.replace("/mnt/a", f"{tmp_path}/mountpoint"))
    assert check(tmp_path / "m.toml", tmp_path) == 0
    assert capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["m.toml"]


def test_an_error_tells_all_its_problems_when_it_ends_a_command() -> None:
    problems = [Problem(Path("/m.toml"), None, None, "", "no such file"), Problem(Path("/m.toml"), 2, 1, "x", "wrong")]
    error = ConfigError(problems)
    assert error.problems == problems
    assert error.exit_code == 2
    assert str(error) == "the configuration has 2 errors:\n/m.toml: no such file\n/m.toml:2:1: x: wrong"
    assert str(ConfigError(problems[:1])) == "the configuration has an error:\n/m.toml: no such file"
