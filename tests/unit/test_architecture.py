"""ARCHITECTURE.md and CONTRIBUTING.md lead to what is there, and ARCHITECTURE.md to every package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A path in backticks: with a slash or an ending, and without blanks.
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|toml))`")


def named(page: str) -> list[str]:
    return NAMED.findall((ROOT / page).read_text())


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    paths = [path for path in named(page) if not path.startswith("build/")]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_package_is_named() -> None:
    packages = {
        f"{init.parent.relative_to(ROOT)}/"
        for half in ("engine", "mountctl")
        for init in ROOT.glob(f"{half}/**/__init__.py")
    } - {"engine/", "mountctl/"}
    assert len(packages) > 10
    assert packages - set(named("ARCHITECTURE.md")) == set(), "say in ARCHITECTURE.md what it has"


def test_the_picture_has_every_floor_of_the_contracts() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text().partition("```")[2].partition("```")[0]
    contracts = (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2]
    floors = re.findall(r'"(?:engine|mountctl)\.[^"]* [|:] [^"]*"|"(?:engine|mountctl)\.\w+"', contracts)
    packages = {
        name for floor in floors for name in re.findall(r"\.(\w+)", floor) if list(ROOT.glob(f"*/{name}/__init__.py"))
    }
    assert len(packages) >= 10
    assert {package for package in packages if f"{package}/" not in picture} == set()
