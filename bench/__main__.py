"""mountctl beside its peers, in one run on one machine: `make bench`, or `python -m bench [--help]`, as root.

Measures row by row, peer by peer in turn, several rounds; prints tables with the goals, and keeps the raw data (JSON),
the tables (Markdown) and a picture (SVG) in a folder.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from bench import CHECKOUT
from bench.chart import chart
from bench.document import publish
from bench.fast_s3 import Missing
from bench.machine import machine, version
from bench.peers import KNOWN, OURS, find
from bench.results import Results
from bench.rows import SCENES, selected
from bench.run import LIMIT_SECONDS, Plan, run
from bench.table import tables

ROUNDS: Final = 3
FOLDER: Final = CHECKOUT / "build" / "bench"


def options() -> argparse.Namespace:
    """What the command line says."""
    topics = sorted({row.topic for scene in SCENES for row in scene.rows})
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help=f"topics, separated by commas, of: {', '.join(topics)}")
    parser.add_argument("--scenes", default="", help=f"of: {', '.join(scene.name for scene in SCENES)}")
    parser.add_argument("--peers", default=",".join(KNOWN), help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=LIMIT_SECONDS, help="a workload's at most (%(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results are kept (default: build/bench)")
    parser.add_argument("--publish", action="store_true", help="keep them in docs/performance.md, too")
    parser.add_argument("--show", type=Path, metavar="JSON", help="run nothing: show, and publish, earlier results")
    return parser.parse_args()


def measured(told: argparse.Namespace) -> Results:
    """Run what was asked for. Raises Missing, KeyError."""
    peers, lacking = find(_listed(told.peers))
    for lack in lacking:
        print(f"goes on without {lack}", file=sys.stderr)
    scenes = list(selected(_listed(told.scenes), _listed(told.only)))
    plan = Plan(scenes, peers, told.rounds, told.seconds)
    results = Results(
        machine=machine(),
        rounds=told.rounds,
        peers=[peer.name for peer in peers],
        versions={peer.name: version(peer) for peer in peers},
        shown=plan.shown(),
    )
    began = time.monotonic()
    told.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(
        run(plan, lambda line: print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True))
    ) as done:
        for measure in done:
            results.measures.append(measure)
            results.write(told.folder / "results.json")  # a run that is broken off is not for nothing
    return results


def _listed(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> int:
    """Returns the exit code: 1 if something that the bench needs is not there, 2 for a mistake in the command."""
    told = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what is mounted is unmounted
    try:
        if told.show:
            results = Results.read(told.show)
        else:
            if os.geteuid() != 0:
                print(f"{OURS.name} mounts as root: run the bench as root", file=sys.stderr)
                return 1
            results = measured(told)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    except KeyError as unknown:
        print(f"unknown: {unknown.args[0]}; see --help", file=sys.stderr)
        return 2
    told.folder.mkdir(parents=True, exist_ok=True)
    (told.folder / "results.md").write_text(tables(results) + "\n")
    (told.folder / "results.svg").write_text(chart(results))
    print(f"\n{tables(results)}\n\nkept in {told.folder}")
    if told.publish:
        publish(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
