"""Benches: speed beside the peers, in one run on one machine. Ratios count, not absolutes."""

from pathlib import Path
from typing import Final

# Programs that the benches start import what is here, not what is installed.
CHECKOUT: Final = Path(__file__).parents[1]
