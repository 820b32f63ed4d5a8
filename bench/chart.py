"""Results as a picture: medians as bars, with the least and the most as whiskers. SVG, written by hand.

Rows have different units, so each is drawn to its own longest bar. Used by bench/__main__.py.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final
from xml.sax.saxutils import escape

from bench.results import Results, Shown, value
from bench.table import number

# In pixels.
WIDTH: Final = 900
TITLE_WIDTH: Final = 300
BAR_WIDTH: Final = 440
BAR_HEIGHT: Final = 11
ROW_GAP: Final = 9
SCENE_HEIGHT: Final = 34
HEAD_HEIGHT: Final = 50

# Told apart by people who see colours differently, too (after Okabe and Ito).
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")


def chart(results: Results) -> str:
    """The whole picture."""
    at = HEAD_HEIGHT
    parts = list(_legend(results))
    for title, lines in groupby(results.shown, key=lambda line: line.scene_title):
        parts.append(f'<text class="scene" x="10" y="{at + 22}">{escape(title)}</text>')
        at += SCENE_HEIGHT
        for line in lines:
            drawn, height = _row(results, line, at)
            parts += drawn
            at += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {at + 10}" font-family="sans-serif" '
        'font-size="11">\n<style>.scene{font-size:15px;font-weight:bold}.value{fill:#333}.whisker{stroke:#222;'
        "stroke-width:1.2}</style>\n"
        f'<rect width="{WIDTH}" height="{at + 10}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _legend(results: Results) -> Iterator[str]:
    at = 10
    for peer, colour in zip(results.peers, COLOURS, strict=False):
        yield f'<rect x="{at}" y="18" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{at + 17}" y="28" font-size="13">{escape(peer)}</text>'
        at += 110
    told = f"medians of {results.rounds} rounds, least to most; each row to its own scale"
    yield f'<text x="{at + 20}" y="28" class="value">{told}</text>'


def _row(results: Results, line: Shown, top: int) -> tuple[list[str], int]:
    """One row's bars, and how high it is."""
    known = [
        (results.spread(line.scene, line.row, peer, value), colour)
        for peer, colour in zip(results.peers, COLOURS, strict=False)
    ]
    spreads = [(spread, colour) for spread, colour in known if spread is not None]
    if not spreads:
        return [], 0
    most = max(spread.most for spread, _ in spreads)
    middle = top + len(spreads) * BAR_HEIGHT / 2 + 4
    better = ", less is better" if line.less else ""
    title = escape(f"{line.title} ({line.unit}{better})")
    parts = [f'<text x="{TITLE_WIDTH - 8}" y="{middle}" text-anchor="end">{title}</text>']
    for place, (spread, colour) in enumerate(spreads):
        y = top + place * BAR_HEIGHT
        median = BAR_WIDTH * spread.median / most
        low, high = (TITLE_WIDTH + BAR_WIDTH * each / most for each in (spread.least, spread.most))
        parts += [
            f'<rect x="{TITLE_WIDTH}" y="{y}" width="{median:.1f}" height="{BAR_HEIGHT - 1}" fill="{colour}"/>',
            f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 5}" y2="{y + 5}"/>',
            f'<text class="value" x="{high + 6:.1f}" y="{y + 9}">{number(spread.median)}</text>',
        ]
    return parts, len(spreads) * BAR_HEIGHT + ROW_GAP
