"""`python -m bench.journalled_engine on|off s3://BUCKET/ DIR [OPTIONS]`: an engine with a journal, or without.

Started by bench/journalling.py. An engine alone, as this is, has no journal, for nobody would take over; one under a
supervisor has. `off` goes further than that: nothing is made that would be written into one.
"""

import functools
import sys

from engine import __main__ as alone
from engine import assembly, journal
from engine.fs.ledger import Ledger


class Silent(Ledger):
    """Writes nothing down, and makes no records."""

    def _nothing(self, *_of: object, **_what: object) -> None:
        """Nothing."""

    inode = discarded = forgot = _nothing
    opened = closed = opened_directory = page = closed_directory = _nothing
    writing = publishing = written = failed = _nothing


def main(mode: str, arguments: list[str]) -> int:
    """Serve until told to end. Returns the exit code."""
    if mode == "on":
        alone.serving = functools.partial(assembly.serving, journal_fd=journal.create())  # type: ignore[attr-defined]
    else:
        assembly.Ledger = Silent  # type: ignore[misc,attr-defined]
    return alone.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
