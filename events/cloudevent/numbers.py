"""JSON whose numbers stay as they were written: orjson cuts decimals to 17 digits and integers to 64 bits."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

_LONGEST = 32
"""Characters of a number. orjson writes none that is longer."""
_INT64 = range(-(2**63), 2**64)
_NUMBER = re.compile(rb"[ \t\r\n]*[-0-9]")
"""The beginning of a text that is a number alone."""
_BEFORE, _EXPONENT, _DIGITS = b":,[ \t\r\n", b"eE", b"0123456789"


@dataclass(frozen=True, slots=True)
class Reading:
    """A way to read JSON again that orjson has read before. What it keeps are numbers, as `orjson.Fragment`s of their
    text, which `orjson.dumps` writes as they are; everything else is what `orjson.loads` gives.
    """

    _shape: bytes
    _may: re.Pattern[bytes]
    _suspect: re.Pattern[bytes]
    _number: Callable[[str], Any]

    def needed(self, text: bytes) -> bool:
        """False if this reading certainly is the same as orjson's."""
        if _NUMBER.match(text):
            return True
        # Nearly all texts have no such shape, and to look for one takes a sixth of the time of the expression, or less.
        return self._may.search(text.translate(self._shape)) is not None and self._suspect.search(text) is not None

    def read(self, text: bytes) -> Any:
        """What the text says."""
        return self.force(text) if self.needed(text) else orjson.loads(text)

    def force(self, text: bytes) -> Any:
        """What the text says, also where a number is beyond what a double holds, which orjson refuses.

        Raises `ValueError` or `RecursionError`. It takes NaN for a number, and halves of surrogate pairs for text.
        """
        return json.loads(text.decode(), parse_int=self._number, parse_float=self._number)


def has_decimals(value: object) -> bool:
    """Whether there is a number in it that orjson read as a double: a decimal, or an integer beyond 64 bits."""
    if isinstance(value, dict):
        return any(map(has_decimals, value.values()))
    if isinstance(value, list):
        return any(map(has_decimals, value))
    return isinstance(value, float)


def number(text: str) -> Any:
    """Of a number in JSON: an `int` or `float` if orjson writes that in these digits, else a fragment of them."""
    value = _value(text)
    return value if value is not None and _dumped(value) == text else orjson.Fragment(text)


def _valued(text: str) -> Any:
    value = _value(text)
    try:
        same = value is not None and Decimal(_dumped(value)) == Decimal(text)
    except InvalidOperation:  # An exponent that Decimal does not know.
        same = False
    return value if same else orjson.Fragment(text)


def _value(text: str) -> int | float | None:
    """What orjson reads; None where that certainly has other digits."""
    if len(text) > _LONGEST:
        return None
    if text.lstrip("-").isdigit():
        return whole if (whole := int(text)) in _INT64 else None
    return float(text)


def _dumped(value: float) -> str:
    return orjson.dumps(value).decode()


def _shape_of(zeros: bytes) -> bytes:
    """A table for `bytes.translate` that makes 0 of these bytes, : of what may stand before a number, and e of E."""
    merged = {ord("0"): zeros, ord(":"): _BEFORE, ord("e"): _EXPONENT}
    return bytes(next((one for one, alike in merged.items() if byte in alike), byte) for byte in range(256))


AS_WRITTEN = Reading(
    _shape_of(_DIGITS),
    re.compile(rb":(?:-0|0+[.e]|0{19})"),
    re.compile(rb"[:,\[][ \t\r\n]*-?(?:[0-9]+[.eE]|[0-9]{19}|(?<=-)0)"),
    number,
)
"""Keeps the digits of every number. What orjson may write in another way: 1.50, 1E3, -0; all decimals are looked at."""
EXACT = Reading(
    _shape_of(_DIGITS + b"-."),
    re.compile(rb":0(?:0*e|0{15})"),
    re.compile(rb"[:,\[][ \t\r\n]*-?(?:[0-9.]{16}|[0-9.]+[eE])"),
    _valued,
)
"""Keeps the values: a double holds 15 digits of any number, and some powers of ten."""
