"""The examples in config/examples: each is right, wise, and as its schema wants it; and together they are complete."""

from pathlib import Path

import jsonschema
import pytest
import tomli

from mountctl.config.advice import advice
from mountctl.config.load import examine, load
from mountctl.config.schema import schema

EXAMPLES = Path(__file__).parent.parent.parent / "config" / "examples"
FILES = sorted(EXAMPLES.glob("*.toml"))
ALL_FILES = sorted(EXAMPLES.rglob("*.toml"))
# What the unit of references.toml has.
ENVIRONMENT = {"STAGE": "test", "TEAM": "blue", "PIPELINE_UID": "1500"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_there_are_ten_and_more() -> None:
    assert len(FILES) >= 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_has_mounts_no_errors_and_no_warnings(path: Path) -> None:
    examined = examine(path)
    assert examined.problems == ()
    assert advice(examined) == []
    assert examined.config.mounts


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_names_its_schema_and_is_as_that_wants_it(path: Path) -> None:
    text = path.read_text()
    first = text.partition("\n")[0]
    assert first.startswith("#:schema ")
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == EXAMPLES.parent / "mountpoint-s3.schema.json"
    jsonschema.validate(tomli.loads(text), schema())


def test_the_templates_of_an_example_do_what_its_comments_say() -> None:
    mounts = load(EXAMPLES / "templates.toml").mounts
    assert (mounts["models"].metadata_ttl, mounts["maps"].metadata_ttl) == ("indefinite", 86_400)
    assert (mounts["drafts"].gid, mounts["drafts"].allow_delete) == (2100, True)


def test_the_references_of_an_example_do_what_its_comments_say() -> None:
    output = load(EXAMPLES / "references.toml").mounts["output"]
    assert (output.source, output.region, output.uid) == ("s3://pipeline-test-output/blue/", "eu-west-1", 1500)


def test_the_drop_ins_of_an_example_do_what_its_comments_say() -> None:
    config = load(EXAMPLES / "drop-ins.toml")
    assert len(config.files) == 3
    assert (config.mounts["datasets"].memory_target, config.mounts["checkpoints"].prefix) == (4096, "gpu-17/")
