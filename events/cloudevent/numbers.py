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
_SHAPE = bytes(0x30 if byte in b"123456789" else 0x65 if byte in b"eE" else byte for byte in range(256))
"""Makes 0 of every digit, and e of E."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A way to read JSON again that orjson has read before. What it keeps are numbers, as `orjson.Fragment`s of their
    text, which `orjson.dumps` writes as they are; everything else is what `orjson.loads` gives.
    """

    _may: Callable[[bytes], bool]
    _suspect: re.Pattern[bytes]
    _number: Callable[[str], Any]

    def needed(self, text: bytes) -> bool:
        """False if this reading certainly is the same as orjson's."""
        if _NUMBER.match(text):
            return True
        # Nearly all texts have no such shape, and to look for one takes a tenth of the time of the expression.
        return self._may(text.translate(_SHAPE)) and self._suspect.search(text) is not None

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


_OTHERWISE = (b"0.", b"0e", b":-", b",-", b"[-", b" -", b"\n-", b"\t-", b"0" * 19)


def _may_be_written_otherwise(shape: bytes) -> bool:
    rest = shape.replace(b'"0.0"', b"")  # The specversion of every event.
    return any(part in rest for part in _OTHERWISE)


AS_WRITTEN = Reading(
    _may_be_written_otherwise,
    re.compile(rb"[:,\[][ \t\r\n]*-?(?:[0-9]+[.eE]|[0-9]{19}|(?<=-)0)"),
    number,
)
"""Keeps the digits of every number. What orjson may write in another way: 1.50, 1E3, -0; all decimals are looked at."""
EXACT = Reading(
    lambda shape: b"0e" in shape or b"0" * 16 in shape.replace(b".", b"0"),
    re.compile(rb"[:,\[][ \t\r\n]*-?(?:[0-9.]{16}|[0-9.]+[eE])"),
    _valued,
)
"""Keeps the values: a double holds 15 digits of any number, and some powers of ten."""
