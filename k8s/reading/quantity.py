"""Kubernetes quantities ("500m", "2Gi") as exact numbers."""

import re
from decimal import Decimal

SYNTAX = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_PARTS = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal("1e3"), "M": Decimal("1e6"),
    "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"), "E": Decimal("1e18"),
}  # fmt: skip

_LONGEST = 256
"""Characters of a quantity that is read at all."""
LARGEST = 2**63 - 1
"""No quantity of Kubernetes is larger."""


def parse(text: str | int | float) -> Decimal:
    """Raises ValueError, with Kubernetes' own message, if `text` is no quantity."""
    refused = ValueError(f"quantities must match the regular expression '{SYNTAX}'")
    found = _PARTS.fullmatch(str(text))
    if found is None or len(found[0]) > _LONGEST:
        raise refused
    number, suffix = Decimal(found[1]), found[2]
    if not suffix:
        return number
    factor = _BINARY.get(suffix) or _DECIMAL.get(suffix)
    try:
        return number * (factor or Decimal(10) ** int(suffix[1:]))
    except ArithmeticError:  # An exponent of which nobody has that many.
        raise refused from None
