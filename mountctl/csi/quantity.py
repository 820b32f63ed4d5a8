"""Kubernetes' quantities, such as `100Mi`, `0.5` and `1e3`: only what volume attributes need. Pure.

Rule: apimachinery's resource.Quantity: a decimal number, and a suffix of a power of 1024, of 1000, or an exponent.
"""

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(
    r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)
_BINARY: Final = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL: Final = {
    letter: Decimal(10) ** power for letter, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
}
# Theirs are 64-bit numbers; more digits than that have no meaning.
_CHARS_MAX: Final = 40


class NoQuantity(ValueError):
    """The text is none, or less than nothing. The text is a sentence for a person."""


def parse(text: str) -> Decimal:
    """A quantity in its unit: bytes, or cores. Raises NoQuantity."""
    found = _QUANTITY.fullmatch(text) if len(text) <= _CHARS_MAX else None
    if found is None:
        raise NoQuantity("must be a quantity such as 100Mi or 1Gi")
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    if found["exponent"] is not None:
        return number.scaleb(int(found["exponent"]))
    return number * (_BINARY | _DECIMAL).get(suffix, Decimal(1))
