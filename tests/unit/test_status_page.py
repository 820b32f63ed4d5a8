"""mountctl/status_page.py: the page of the status, as a parser and a browser see it."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mountctl import status_page
from mountctl.control import pages
from mountctl.status import CostStatus, Status
from tests.unit.test_metrics_text import mount, status

HOSTILE = "<script>document.title='owned'</script>\"' onload=x"
CHROMIUM = shutil.which("chromium")


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(*names: str) -> Page:
    cost = CostStatus(currency=HOSTILE, today=0.5, total=1.0, days=[])
    mounts = [
        mount(name, source=HOSTILE, bytes_read=3 << 20).model_copy(update={"reason": HOSTILE, "cost": cost})
        for name in names
    ]
    told = status(*mounts)
    told["supervisor"]["config"]["last_reload"]["errors"] = [HOSTILE]
    return Page(status_page.render(told))


def test_whatever_things_are_called_is_text() -> None:
    found = page(HOSTILE, "b")

    assert "script" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert found.text.count(HOSTILE) == 1 + 2 * 3 + 1
    assert "3.0 MiB" in found.text
    assert found.open == []


def test_it_asks_anew_by_itself_and_loads_nothing() -> None:
    found = page("a")

    assert ("http-equiv", "refresh") in found.attributes
    assert not {name for name, _ in found.attributes} & {"src", "href", "action"}
    assert "default-src 'none'" in status_page.POLICY


def test_without_mounts_it_says_so() -> None:
    assert "No mounts." in page().text


def test_a_path_that_is_no_text_is_shown_with_escapes() -> None:
    told = status(mount("a"))
    told["supervisor"]["config"]["path"] = "/etc/\udcff.toml"

    found = pages.page("/", "text/html", lambda: Status.model_validate(told))

    assert found is not None
    assert rb"/etc/\udcff.toml" in found.body


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
def test_a_browser_shows_it_and_runs_nothing_of_it(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    told = status(mount(HOSTILE, source=HOSTILE))
    (tmp_path / "page.html").write_text(status_page.render(told))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    options += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}/user"]

    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120
    )

    seen = Page(done.stdout)
    assert "<title>ready: 1 mounts</title>" in done.stdout
    assert HOSTILE in seen.text
    assert "script" not in seen.tags
