"""The sdist and the wheel, `mountctl-s3`: the same bytes whenever they are built, and what has to be in them."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two directories, of two runs for the same commit: the second of a copy, which somebody else might have."""
    directories = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    copy = tmp_path_factory.mktemp("copy") / "of" / "repository"
    leave = shutil.ignore_patterns(".git", ".venv", "build", "dist", ".*_cache", ".hypothesis", "__pycache__")
    shutil.copytree(REPOSITORY, copy, ignore=leave)
    subprocess.run(["chmod", "--recursive", "go=", copy], check=True)
    for directory, source, umask in zip(directories, (REPOSITORY, copy), (0o022, 0o077), strict=True):
        command = [sys.executable, "-m", "hatchling", "build", "--directory", directory]
        environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1760000000"}
        subprocess.run(command, check=True, cwd=source, env=environment, umask=umask, capture_output=True)
    return directories


def test_the_same_commit_makes_the_same_bytes_elsewhere(twice: list[Path]) -> None:
    first, second = ({file.name: file.read_bytes() for file in directory.iterdir()} for directory in twice)
    assert len(first) == 2
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_an_index_takes_what_they_say_of_themselves(twice: list[Path]) -> None:
    (wheel,), (sdist,) = twice[0].glob("*.whl"), twice[0].glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        of_wheel = opened.read(name)
    with tarfile.open(sdist) as archive:
        (member,) = (
            member for member in archive.getmembers() if member.name.count("/") == 1 and "PKG-INFO" in member.name
        )
        of_sdist = archive.extractfile(member)
        assert of_sdist is not None
        assert of_sdist.read() == of_wheel
    told = Metadata.from_email(of_wheel)  # raises where the specification is broken
    assert (told.name, told.description_content_type) == ("mountctl-s3", "text/markdown")
    assert told.description == (REPOSITORY / "README.md").read_text()


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


def test_packages_bring_versions_that_the_project_takes() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["otlp"]
    lines = (REPOSITORY / "packaging" / "constraints.txt").read_text().splitlines()
    written = dict(line.split("==") for line in lines if "==" in line)
    for requirement in map(Requirement, wanted):
        assert written[canonicalize_name(requirement.name)] in requirement.specifier
