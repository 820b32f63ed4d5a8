"""The sdist and the wheel, `mountctl-s3`: the same bytes whenever they are built, and what has to be in them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two directories, of two runs for the same commit."""
    directories = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for directory in directories:
        command = [sys.executable, "-m", "hatchling", "build", "--directory", directory]
        environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1760000000"}
        subprocess.run(command, check=True, cwd=REPOSITORY, env=environment, capture_output=True)
    return directories


def test_the_same_commit_makes_the_same_bytes(twice: list[Path]) -> None:
    first, second = ({file.name: file.read_bytes() for file in directory.iterdir()} for directory in twice)
    assert len(first) == 2
    assert first == second


def test_the_wheel_has_both_halves_the_program_and_nothing_else(twice: list[Path]) -> None:
    (wheel,) = twice[0].glob("mountctl_s3-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (entry_points,) = (opened.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mountctl", "engine", "mountctl_s3"}
    assert "mountctl = mountctl.cli:main" in entry_points


def test_the_sdist_has_what_builds_it_and_what_packages_bring(twice: list[Path]) -> None:
    (sdist,) = twice[0].glob("mountctl_s3-*.tar.gz")
    with tarfile.open(sdist) as opened:
        names = {name.split("/", 1)[1] for name in opened.getnames()}
    assert {"pyproject.toml", "README.md", "systemd/mountctl.service", "packaging/nfpm.yaml"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/")) or "__pycache__" in name]
