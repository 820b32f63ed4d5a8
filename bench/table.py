"""Results as tables in Markdown, aligned so that a terminal shows them well too. Used by bench/__main__.py."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from bench.goals import judged
from bench.peers import OURS
from bench.results import Results, Shown, Spread, cpu_each, memory, ratios, requests_each, server_share, value

MIB: Final = 1 << 20

# Share of a core from which on the S3, and not its client, is what is measured.
SERVER_BOUND: Final = 0.85


def tables(results: Results) -> str:
    """All of them."""
    return "\n\n".join((machine(results), goals(results), *speeds(results), *costs(results), *failures(results)))


def machine(results: Results) -> str:
    """On what, and what it was."""
    told = [f"{name} {text}" for name, text in results.machine.items()]
    versions = [f"{name} {version}" for name, version in results.versions.items()]
    return f"{'; '.join(told)}. {'; '.join(versions)}. Medians of {results.rounds} rounds (least-most)."


def goals(results: Results) -> str:
    """What is to be reached, and what was."""
    lines = [
        (
            *(_scene(results, each.goal.scene), _title(results, each.goal.scene, each.goal.row), str(each.goal)),
            *(_spread(each.ratio, "x") if each.ratio else "", each.verdict),
        )
        for each in judged(results)
    ]
    return aligned(("S3", "row", "goal", "measured", ""), lines)


def speeds(results: Results) -> Iterator[str]:
    """A table a scene: what each peer reached, and how many times as good ours is."""
    for title, lines in groupby(results.shown, key=lambda line: line.scene_title):
        yield aligned((f"**{title}**", "", *results.peers), [_speed_line(results, line) for line in lines])


def costs(results: Results) -> Iterator[str]:
    """A table a scene: what each peer used."""
    head = "CPU · requests · memory"
    yield (
        f"{head}: CPU seconds of all serving processes and requests to S3, both a GB where the unit is MB/s, else CPU "
        "milliseconds and requests a file, entry or read; the most memory meanwhile, in MiB (PSS of all of them)."
    )
    for title, lines in groupby(results.shown, key=lambda line: line.scene_title):
        cells = [(line.title, *(_cost(results, line, peer) for peer in results.peers)) for line in lines]
        yield aligned((f"**{title}**: {head}", *results.peers), cells)


def failures(results: Results) -> Iterator[str]:
    """What did not work, if anything."""
    failed = sorted({(each.scene, each.row, each.peer, each.failed) for each in results.measures if each.failed})
    if failed:
        yield "Failed:\n" + "\n".join(f"* {peer}, {scene} {row}: {why}" for scene, row, peer, why in failed)
    if any(_is_server_bound(results, line, peer) for line in results.shown for peer in results.peers):
        yield f"† the S3's busiest thread was busy for more than {SERVER_BOUND:.0%} of the time: it is measured too."


def aligned(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    cells = [head, *lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    rows = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {row} |" for row in (rows[0], rule, *rows[1:]))


def number(amount: float) -> str:
    """Three digits of it."""
    if amount >= 100:
        return f"{float(f'{amount:.3g}'):,.0f}"
    return f"{amount:#.3g}".rstrip(".")


def _spread(spread: Spread, unit: str = "") -> str:
    return f"{number(spread.median)}{unit} ({number(spread.least)}-{number(spread.most)})"


def _speed_line(results: Results, line: Shown) -> tuple[str, ...]:
    cells = []
    ours = results.of(line.scene, line.row, OURS.name)
    for peer in results.peers:
        spread = results.spread(line.scene, line.row, peer, value)
        if spread is None:
            cells.append(_nothing(results, line, peer))
            continue
        times = ratios(ours, results.of(line.scene, line.row, peer), value) if peer != OURS.name else None
        ratio = f" {number(1 / times.median if line.less else times.median)}x" if times and times.median else ""
        mark = " †" if _is_server_bound(results, line, peer) else ""
        cells.append(f"{_spread(spread)}{mark}{ratio}")
    return line.title, line.unit, *cells


def _cost(results: Results, line: Shown, peer: str) -> str:
    measures = results.of(line.scene, line.row, peer)
    each = 1e9 if line.unit == "MB/s" else 1
    cpu = Spread.of(cpu_each(measure) for measure in measures)
    requests = Spread.of(requests_each(measure) for measure in measures)
    most = Spread.of(memory(measure) for measure in measures)
    if cpu is None or requests is None or most is None:
        return _nothing(results, line, peer)
    scaled = cpu.median * (each if each > 1 else 1000)
    return f"{number(scaled)} · {number(requests.median * each)} · {most.median / MIB:.0f}"


def _nothing(results: Results, line: Shown, peer: str) -> str:
    tried = any((each.scene, each.row, each.peer) == (line.scene, line.row, peer) for each in results.measures)
    return "failed" if tried else "-"


def _is_server_bound(results: Results, line: Shown, peer: str) -> bool:
    share = results.spread(line.scene, line.row, peer, server_share)
    return share is not None and share.median > SERVER_BOUND


def _scene(results: Results, scene: str) -> str:
    return next(line.scene_title for line in results.shown if line.scene == scene)


def _title(results: Results, scene: str, row: str) -> str:
    return next(line.title for line in results.shown if (line.scene, line.row) == (scene, row))
