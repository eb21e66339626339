"""Arithmetic with quantities, written as Kubernetes writes them: "2", "1500m", "1Gi"."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal

from k8s.reading.quantity import LARGEST, parse

Amounts = Mapping[str, str]
"""Quantities by the name of their resource."""

TOO_GREAT = f"must be less than or equal to {LARGEST}"

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_SMALLEST = Decimal("1e-9")


def canonical(quantity: str | float) -> str:
    """The quantity as the API server answers it: "1000m" is "1", "1024Mi" is "1Gi". ValueError: it is none."""
    return _written(parse(quantity), binary=str(quantity).endswith("i"))


def add(one: str, other: str) -> str:
    return total((one, other))


def subtract(one: str, other: str) -> str:
    return _written(parse(one) - parse(other), binary=_is_binary((one, other)))


def total(quantities: Iterable[str]) -> str:
    """The sum, in the notation of the first that is not zero."""
    found = list(quantities)
    return _written(sum(map(parse, found), Decimal()), binary=_is_binary(found))


def highest(quantities: Iterable[str]) -> str:
    return max(quantities, key=parse)


def _is_binary(quantities: Iterable[str]) -> bool:
    first = next((quantity for quantity in quantities if parse(quantity)), "")
    return first.endswith("i")


def _written(amount: Decimal, *, binary: bool) -> str:
    if not amount:
        return "0"
    if abs(amount) > LARGEST:  # Refused where it is validated.
        return str(amount)
    if binary and abs(amount) >= 1024:
        return _in_binary(int(amount.to_integral_value(ROUND_CEILING)))
    return _in_decimal(amount.quantize(_SMALLEST, ROUND_CEILING))


def _in_binary(amount: int) -> str:
    power = 0
    while amount % 1024 == 0 and power < len(_BINARY) - 1:
        amount //= 1024
        power += 1
    return f"{amount}{_BINARY[power]}"


def _in_decimal(amount: Decimal) -> str:
    """With the greatest unit in which it is a whole number."""
    for exponent in sorted(_DECIMAL, reverse=True):
        scaled = amount.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{scaled:.0f}{_DECIMAL[exponent]}"
    return str(amount)
