"""The configuration file that packages bring, and the manual pages: every option and command is there, and right."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from docs import manuals, sample
from engine.spec import MountSpec
from mountctl import parser
from mountctl.config.load import examine, load
from mountctl.config.model import SupervisorSpec
from mountctl.config.words import fields

OPTIONS = re.findall(r"^#([a-z][a-z-]*) = (.*)$", sample.text(), flags=re.MULTILINE)


def test_every_option_is_a_comment_of_the_sample() -> None:
    mount, supervisor = {*fields(MountSpec)}, {*fields(SupervisorSpec)}
    assert {key for key, _ in OPTIONS} == mount - {"name", "bucket", "mountpoint"} | supervisor


def test_the_sample_as_it_is_declares_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mountpoint-s3.toml"
    file.write_text(sample.text())
    assert load(file).mounts == {}


@pytest.mark.parametrize(("key", "value"), OPTIONS)
def test_each_comment_of_the_sample_is_right_once_it_is_none(tmp_path: Path, key: str, value: str) -> None:
    table = "supervisor" if key in fields(SupervisorSpec) else "defaults"
    needed = {"sse-kms-key-id": 'sse = "aws:kms"\n', "allow-root": ""}.get(key, "")
    file = tmp_path / "mountpoint-s3.toml"
    file.write_text(
        f'[{table}]\n{needed}{key} = {value}\n[mount.data]\nbucket = "my-bucket"\nmountpoint = "/mnt/data"\n'
    )
    assert [problem.reason for problem in examine(file).problems if "no group" not in problem.reason] == []


def test_every_command_is_in_the_manual() -> None:
    page = manuals.pages()["mountctl.1"]
    program = parser.program()
    for name in program.list_commands(None):
        assert re.search(rf"^\.SS {manuals.escaped(name).replace(chr(92), chr(92) * 2)} ", page, flags=re.MULTILINE), (
            name
        )


def test_every_option_is_in_the_manual() -> None:
    page = manuals.pages()["mountpoint-s3.toml.5"]
    for key in {*fields(MountSpec), *fields(SupervisorSpec)} - {"name"}:
        assert rf"\fB{manuals.escaped(key)}\fR" in page


@pytest.mark.skipif(shutil.which("man") is None, reason="no man")
@pytest.mark.parametrize("name", ["mountctl.1", "mountpoint-s3.toml.5", "mount.mountctl.8"])
def test_a_manual_page_is_without_fault(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(manuals.pages()[name])
    shown = subprocess.run(["man", "--warnings", "--local-file", tmp_path / name], capture_output=True, text=True)
    assert shown.stderr == ""
    assert "NAME" in shown.stdout
