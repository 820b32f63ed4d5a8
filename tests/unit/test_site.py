"""The site: links of pages lead on it to what they lead to in the repository; reference pages have every key."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from docs import repository_pages, supervisor_pages
from mountctl.status import Status
from mountctl.supervisor.events import Kind


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a page in docs/, one beside it, and a directory of examples."""
    for name in ("README.md", "docs/guides/page.md", "docs/other.md", "examples/one.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(repository_pages, "ROOT", tmp_path)
    return tmp_path


def shown(uri: str, markdown: str) -> str:
    return repository_pages.on_page_markdown(markdown, page=SimpleNamespace(file=SimpleNamespace(src_uri=uri)))


@pytest.mark.parametrize(
    ("uri", "link", "expected"),
    [
        ("guides/page.md", "../../README.md#use", "../repository/read-me.md#use"),
        ("guides/page.md", "../../examples", "../repository/examples/listing.md"),
        ("guides/page.md", "../../examples/one.toml", "../repository/examples/one.toml"),
        ("repository/read-me.md", "docs/other.md", "../other.md"),
        ("repository/read-me.md", "examples", "examples/listing.md"),
        ("repository/examples/listing.md", "one.toml", "one.toml"),
    ],
)
@pytest.mark.usefixtures("root")
def test_a_link_across_the_border_of_docs_leads_to_the_copy(uri: str, link: str, expected: str) -> None:
    assert shown(uri, f"see [it]({link}).") == f"see [it]({expected})."


@pytest.mark.parametrize(
    "link", ["../other.md", "../missing.md", "../../missing.toml", "https://example.org/", "#here"]
)
@pytest.mark.usefixtures("root")
def test_a_link_within_docs_or_to_nothing_is_left_to_mkdocs(link: str) -> None:
    assert shown("guides/page.md", f"see [it]({link}).") == f"see [it]({link})."


@pytest.mark.usefixtures("root")
def test_what_looks_like_a_link_in_code_is_left_alone() -> None:
    code = "```\na[0](../../README.md)\n```\n"
    assert shown("guides/page.md", code) == code


def test_the_status_page_has_every_key() -> None:
    page = supervisor_pages.status("")
    for model in [Status.model_json_schema(), *Status.model_json_schema()["$defs"].values()]:
        for key in model["properties"]:
            assert f"\n| `{key}` | " in page


def test_every_kind_of_event_has_a_meaning_on_its_page() -> None:
    page = supervisor_pages.events("")
    for kind in Kind:
        assert f"\n| `{kind.value}` | {kind.meaning} |" in page
        assert len(kind.meaning) > 10
