"""Keeps results in docs/performance.md, with the raw data and the picture beside. Used by bench/__main__.py."""

from typing import Final

from bench import CHECKOUT
from bench.chart import chart
from bench.results import Results
from bench.table import tables

PAGE: Final = CHECKOUT / "docs" / "performance.md"

# Between these the page is the bench's.
BEGIN: Final = "<!-- results: written by `python -m bench --publish` -->"
END: Final = "<!-- end of results -->"

PICTURE: Final = "![medians and spread](performance.svg)"
RAW: Final = "[performance.json](performance.json) is the raw data: every round of every row, with what it cost."


def publish(results: Results) -> None:
    """Replace the results of the page. What people wrote around them stays."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    results.write(PAGE.with_suffix(".json"))
    PAGE.with_suffix(".svg").write_text(chart(results))
    PAGE.write_text(f"{before}{BEGIN}\n\n{PICTURE}\n\n{tables(results)}\n\n{RAW}\n\n{END}{after}")
