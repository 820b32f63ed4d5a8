"""`mountctl import` as it is called: what it prints, where, and that it changes nothing."""

import json
import shlex
from pathlib import Path

import pytest

from mountctl.cli import main


def called(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["import", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture
def fstab(tmp_path: Path) -> Path:
    file = tmp_path / "fstab"
    file.write_text(
        f"media /mnt/media-of-a-test fuse.s3fs _netdev,iam_role,passwd_file={tmp_path / 'keys'} 0 0\n"
        "x:y /mnt/z fuse.goofys _netdev 0 0\n"
    )
    (tmp_path / "keys").write_text("AKIDX:verysecret\n")
    return file


def test_toml_goes_to_stdout_and_what_is_left_out_to_stderr(fstab: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert called(fstab) == 0

    out, err = capfd.readouterr()
    assert "[mount.media-of-a-test]" in out
    assert "TO DO: credentials" in out
    assert "not imported: " in err
    assert "verysecret" not in out + err


def test_keys_are_written_where_it_is_asked_for(fstab: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    credentials = tmp_path / "credentials"

    assert called(fstab, "--write-credentials", credentials) == 0

    out, err = capfd.readouterr()
    assert "TO DO" not in out
    assert f'AWS_SHARED_CREDENTIALS_FILE = "{credentials}"' in out
    assert "verysecret" not in out + err
    assert "aws_secret_access_key = verysecret" in credentials.read_text()


def test_a_plan_says_each_step_of_each_mount(fstab: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert called(fstab, "--plan", "--config", tmp_path / "c.toml") == 0

    out = capfd.readouterr().out
    assert "1. read: credentials: " in out
    assert "umount /mnt/media-of-a-test" in out
    assert f"put a # in front of line 1 of {fstab}" in out
    assert "mountctl reload --only media-of-a-test" in out
    assert f"All of it, and back again if it fails: mountctl import {fstab} --switch media-of-a-test" in out


def test_a_plan_can_be_copied_into_a_shell_and_as_json_has_what_was_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = "mount-s3 media '/mnt/media of a test'"
    assert called("--command", command, "--command", "s3fs x", "--plan", "--config", tmp_path / "c.toml") == 0
    assert called("--command", command, "--command", "s3fs x", "--plan", "--json") == 0

    text, _, as_json = capfd.readouterr().out.partition("{")
    assert "umount '/mnt/media of a test'" in text
    assert "&& ls '/mnt/media of a test'" in text
    assert f"mountctl import --command {shlex.quote(command)} --command 's3fs x' --switch media_of_a_test" in text
    assert json.loads("{" + as_json)["not_imported"][0]["from"] == "command line 2"


def test_json_has_the_same(fstab: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert called(fstab, "--json") == 0

    told = json.loads(capfd.readouterr().out)
    assert [mount["name"] for mount in told["mounts"]] == ["media-of-a-test"]
    assert told["mounts"][0]["notes"][0]["kind"] == "to_do"
    assert told["not_imported"][0]["from"] == f"{fstab}:2"


def test_a_name_that_was_not_found_is_told(fstab: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert called(fstab, "--switch", "nothing") == 1

    assert "no mount nothing was found; there is: media-of-a-test" in capfd.readouterr().err
