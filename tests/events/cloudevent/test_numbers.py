"""Numbers that orjson would change keep their digits, or at least their values; all others are read as orjson reads."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from events.cloudevent.numbers import AS_WRITTEN, EXACT

CHANGED = [
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.1000000000000000000001",
    "3.14159265358979323846",
    "1e-400",
    "1e-99999999999999999999",
]
OTHERWISE = ["1.10", "1E3", "1e3", "-0", "100e-2", "1.0e+5"]
SAME = ["0", "-1", "18446744073709551615", "-9223372036854775808", "1.5", "-0.25", "1e+300", "0.1", "-0.0"]


def written_again(reading: Any, text: str) -> str:
    return orjson.dumps(reading.read(text.encode())).decode()


@pytest.mark.parametrize("number", [*CHANGED, *OTHERWISE])
def test_every_number_keeps_its_digits(number: str) -> None:
    for text in (number, f'{{"a":[{number},"{number}"]}}'):
        assert AS_WRITTEN.needed(text.encode())
        assert written_again(AS_WRITTEN, text) == text


@pytest.mark.parametrize("number", CHANGED)
def test_a_number_whose_value_would_change_keeps_it(number: str) -> None:
    assert EXACT.needed(number.encode())
    assert written_again(EXACT, f"[{number}]") == f"[{number}]"


@pytest.mark.parametrize("number", OTHERWISE)
def test_a_number_of_the_same_value_is_written_in_one_way(number: str) -> None:
    assert written_again(EXACT, f"[{number}]") == orjson.dumps([orjson.loads(number)]).decode()


@pytest.mark.parametrize("reading", [AS_WRITTEN, EXACT])
@pytest.mark.parametrize("number", SAME)
def test_other_numbers_are_plain(reading: Any, number: str) -> None:
    found = reading.read(f"[{number},1.5,0.30000000000000004]".encode())[0]
    assert (found, type(found)) == (orjson.loads(number), type(orjson.loads(number)))


digits = st.text("0123456789", min_size=1, max_size=40)
number_texts = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole.lstrip('0') or '0'}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    digits,
    digits.map(lambda text: f".{text}") | st.just(""),
    st.builds("".join, st.tuples(st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 290).map(str)))
    | st.just(""),
)


@given(st.lists(number_texts, min_size=1, max_size=5))
def test_any_numbers_keep_digits_and_values(numbers: list[str]) -> None:
    text = f"[{','.join(numbers)}]"
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return  # Infinite: no event can have it.
    assert written_again(AS_WRITTEN, text) == text
    values = json.loads(written_again(EXACT, text), parse_float=Decimal, parse_int=Decimal)
    assert values == [Decimal(number) for number in numbers]


spaces = st.text(" \t\r\n", max_size=3)


@given(number_texts, spaces, spaces, st.text("0123456789eE.-:,[ x", max_size=30))
def test_where_a_number_stands_and_what_texts_hold_makes_no_difference(
    number: str, before: str, after: str, text: str
) -> None:
    for around in ('{"a":%s}', "[%s]", "[0,%s]"):
        document = f'["{text}",{around % f"{before}{number}{after}"},"{text}"]'.encode()
        for reading in (AS_WRITTEN, EXACT):
            alone = reading.needed(f"[{number}]".encode())
            assert reading.needed(document) >= alone
            assert reading.needed(json.dumps({"text": text}).encode()) <= (not {*":,[ "}.isdisjoint(text))
