"""What is written for users agrees with the code: examples load, generated pages are current."""

import json
import re
from pathlib import Path

import pytest

import mountctl.errors
from docs import generate, supervisor_pages
from engine import errors
from engine.spec import MountSpec
from mountctl import iam_policy
from mountctl.config.load import examine, load
from mountctl.config.model import CsiSpec, SupervisorSpec
from mountctl.config.words import fields
from tests.unit.test_examples import ENVIRONMENT

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.toml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Each block of the pages that declares a mount, by where it is.
BLOCKS = {
    f"{page.relative_to(ROOT)}-{n}": block
    for page in PAGES
    for n, block in enumerate(re.findall(r"^ *```toml\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL))
    if "\n[mount." in f"\n{block}"
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples refer to."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_good_configuration(path: Path) -> None:
    assert load(path).mounts


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_of_a_page_that_declares_a_mount_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH_UID", "1500")
    (tmp_path / "region").write_text("eu-west-1\n")
    file = tmp_path / "mountpoint-s3.toml"
    file.write_text(BLOCKS[name].replace("/etc/region", str(tmp_path / "region")))
    examined = examine(file)
    assert examined.problems == ()
    assert examined.config.mounts


def test_the_policy_on_the_page_about_ec2_is_that_of_its_mount(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "ec2.md").read_text()
    file = tmp_path / "mountpoint-s3.toml"
    file.write_text(BLOCKS["docs/guides/ec2.md-0"])
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert shown == iam_policy.policy(load(file).mounts.values())


def test_there_are_blocks_on_many_pages() -> None:
    assert len({name.rpartition("-")[0] for name in BLOCKS}) >= 6


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


def test_the_examples_show_what_they_say() -> None:
    mounts = {path.stem: load(path).mounts for path in EXAMPLES}
    assert mounts["minimal"]["datasets"] == MountSpec(name="datasets", bucket="my-datasets", mountpoint="/mnt/datasets")
    several = mounts["several-buckets"]
    assert several["training"].metadata_ttl == "indefinite"
    assert several["results"].metadata_ttl == 60
    assert {mount.gid for mount in several.values()} == {2000}
    assert all(mount.force_path_style and mount.endpoint_url for mount in mounts["other-s3-server"].values())
    assert mounts["public-data"]["landsat"].no_sign_request


def test_the_committed_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_stale_page_and_a_missing_one_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.md").write_text("x")
    (tmp_path / "stale.md").write_text("y")
    pages = {tmp_path / name: "x" for name in ("good.md", "stale.md", "missing.md")}
    assert generate.check(pages) == 1
    told = capsys.readouterr().err
    assert "good.md" not in told
    assert "stale.md: stale" in told
    assert "missing.md: stale" in told


def test_unknown_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_what_is_told_of_and_is_not_there_stops_the_generator_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(supervisor_pages.PLAIN, "Status.gone", "x")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs.generate: Status.gone is told of and is not there\n"


def test_every_key_and_every_error_is_on_its_page() -> None:
    configuration, page = generate.configuration(), generate.errors()
    for key in (fields(MountSpec).keys() | fields(SupervisorSpec).keys() | fields(CsiSpec).keys()) - {"name"}:
        assert f"\n| `{key}` | " in configuration
    for module, base in ((errors, errors.EngineError), (mountctl.errors, mountctl.errors.MountctlError)):
        kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, base)]
        assert [kind for kind in kinds if page.count(f"`{kind.__name__}` | ") != 1] == []
    rows = re.findall(r"^\| (?:&emsp;)*`(\w+)`", page, re.MULTILINE)
    assert [row for row in rows if not (hasattr(errors, row) or hasattr(mountctl.errors, row))] == []


def test_what_is_told_of_the_status_by_hand_is_there_and_nothing_is_left_out() -> None:
    models = {"Mount": {"properties": {"a": {"description": "said"}, "b": {}, "c": {}}}}
    assert supervisor_pages.unfit(models, {"Mount.b": "x", "Mount.gone": "y"}) == [
        "Mount.gone is told of and is not there",
        "Mount.c is not told of",
    ]


def test_rules_told_by_hand_are_of_keys_that_exist() -> None:
    assert generate.RULES.keys() <= fields(MountSpec).keys() | fields(SupervisorSpec).keys() | fields(CsiSpec).keys()


def test_the_page_has_types_defaults_and_limits() -> None:
    rows = generate.configuration().splitlines()
    assert any(
        row.startswith('| `dir-mode` | an octal number such as "0755" | `"0755"` | at most 0777 |') for row in rows
    )
    assert any(row.startswith("| `max-threads` | an integer | `64` | 1 to 4096 |") for row in rows)
    assert any(row.startswith("| `read-only` | true or false | `false` |  |") for row in rows)
    assert any(row.startswith("| `bucket` | a string | must be given |") for row in rows)


def figures(text: str) -> set[str]:
    """The numbers in a text, but those in names (s3fs)."""
    return set(re.findall(r"(?<![\w.,])\d(?:[\d.,]*\d)?", text.replace("*", "")))


# The figures of each line of the performance page.
MEASURED = [figures(line) for line in (ROOT / "docs" / "performance.md").read_text().splitlines()]


def test_the_figures_of_the_comparison_are_those_that_were_measured() -> None:
    section = (ROOT / "docs" / "comparison.md").read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
    rows = [figures(" ".join(row.split(" | ")[1:])) for row in section.splitlines()[6:] if row.startswith("| ")]
    assert len([row for row in rows if row]) >= 15
    assert [row for row in rows if not any(row <= line for line in MEASURED)] == []


@pytest.mark.parametrize(
    ("page", "beginning", "end"),
    [
        ("README.md", "20 ms to S3: ", ". Where others"),
        ("docs/guides/many-readers.md", "no delay ([performance](../performance.md)): ", "\n\n"),
        ("docs/guides/training-data.md", "| workload | mountctl |\n|---|---|\n", "\n\n"),
    ],
)
def test_the_figures_that_a_page_repeats_are_those_that_were_measured(page: str, beginning: str, end: str) -> None:
    passage = (ROOT / page).read_text().partition(beginning)[2].partition(end)[0]
    told = figures("\n".join(row.rpartition(" | ")[2] for row in passage.splitlines()).replace("S3's 20 ms", ""))
    assert len(told) >= 4
    assert told - set().union(*MEASURED) == set()
