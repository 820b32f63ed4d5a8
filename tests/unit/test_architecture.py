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


def picture() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text().partition("```")[2].partition("```")[0]


def test_the_picture_has_every_package_and_no_other() -> None:
    packages = {init.parent.name for half in ("engine", "mountctl") for init in ROOT.glob(f"{half}/*/**/__init__.py")}
    assert len(packages) > 10
    assert set(re.findall(r"(\w+)/(?!\w)", picture())) - {"engine", "mountctl"} == packages


def test_the_picture_has_the_upper_floors() -> None:
    contracts = (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2]
    floors = re.findall(r'^  "((?:engine|mountctl)\.[^"]*)",$', contracts, re.MULTILINE)
    engine = [floor for floor in floors if floor.startswith("engine")][:3]
    control_plane = [floor for floor in floors if floor.startswith("mountctl")][:-1]
    names = re.findall(r"\.(\w+)", " ".join(engine + control_plane))
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"\b{name}\b", picture())] == []


# Pages name modules by their path in the repository, or in mountctl/ where they are about that.
@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_of_the_site_names_is_there(page: Path) -> None:
    modules = re.findall(r"`((?:[\w-]+/)*\w+\.py)`", page.read_text())
    places = (ROOT, ROOT / "mountctl", ROOT / "mountctl" / "supervisor")
    assert [each for each in modules if not any((place / each).exists() for place in places)] == []
