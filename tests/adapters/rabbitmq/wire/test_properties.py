"""Claims about reading properties: always what pamqp reads, whatever is sent; and nothing where pamqp cannot."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from unittest.mock import patch

import pytest
from hypothesis import given, strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from adapters.rabbitmq.wire import properties
from adapters.rabbitmq.wire.properties import Properties, encoded, properties_of

_short = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, width=32)
    | _short
    | st.sampled_from(["1.0", "h" * 300, datetime(2026, 1, 1, tzinfo=UTC), bytearray(b"\xff\xfe"), Decimal("1.50")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)
_sent = st.builds(
    Properties,
    content_type=st.none() | _short,
    content_encoding=st.none() | _short,
    headers=st.none() | st.dictionaries(_short, _values, max_size=6),
    delivery_mode=st.sampled_from([None, 1, 2]),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | _short,
    reply_to=st.none() | _short,
    expiration=st.none() | _short,
    message_id=st.none() | _short,
    timestamp=st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2500, 1, 1)),
    message_type=st.none() | _short,
    user_id=st.none() | _short,
    app_id=st.none() | _short,
)
headers = st.builds(lambda sent, size: ContentHeader(0, size, sent).marshal(), _sent, st.integers(0, 9))


def by_pamqp(header: bytes) -> Properties:
    found = ContentHeader()
    try:
        found.unmarshal(header)
    except Exception:  # noqa: BLE001 - whatever it raises
        return Properties()
    return found.properties


def seen(found: Properties) -> str:
    """What it says, with types: floats that are no numbers equal nothing."""
    return repr([(name, getattr(found, name)) for name in Properties.attributes()])


@given(headers)
def test_well_formed_properties_are_read_as_pamqp_reads_them_and_without_it(header: bytes) -> None:
    with patch.object(properties, "_judged", side_effect=AssertionError):
        assert seen(properties_of(header)) == seen(by_pamqp(header))


@given(_sent)
def test_properties_are_written_as_pamqp_writes_them(sent: Properties) -> None:
    assert encoded(sent) == sent.marshal()


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A header with bytes changed, left out or put in."""
    header = draw(headers)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(header)))
        header = header[:at] + draw(st.binary(max_size=2)) + header[at + draw(st.integers(0, 2)) :]
    return header


@given(broken() | st.binary(max_size=40).map(b"\x00\x3c\x00\x00".__add__))
def test_broken_properties_are_read_as_pamqp_reads_them(header: bytes) -> None:
    assert seen(properties_of(header)) == seen(by_pamqp(header))


def every(name: str, value: bytes) -> Iterator[bytes]:
    """Headers with this property, cut at every byte."""
    header = bytes(12) + Properties.flags[name].to_bytes(2) + value
    return (header[:size] for size in range(len(header) + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("headers", b"\x00\x00\x00\x07\x01\xffS\x00\x00\x00\x00"),
        ("headers", b"\x00\x00\x00\x08\x01aS\x00\x00\x00\x01\xff"),
        ("headers", b"\x00\x00\x00\x08\x01aS\x00\x00\x00\x09longer than"),
        ("headers", b"\x00\x00\x00\x03\x01aVrest"),
        ("headers", b"\x00\x00\x00\x03\x01a?rest"),
        ("headers", b"\x00\x00\x00\x02\x01arest"),
        ("headers", b"\x00\x00\x00\x09\x01aF\x00\x00\x00\x09\x01bS"),
        ("headers", b"\x00\x00\x00\x06\x01aV\x01aV"),
        ("headers", b"\x00\x00\x00\x0a\x01aF\x00\x00\x00\x03\x01bS\x00\x00\x00\x05text behind the tables"),
        ("headers", b"\x00\x00\x00\x08\x01aA\x00\x00\x00\x01S\x00\x00\x00\x05text behind the table"),
        ("timestamp", b"\x7f" * 8),
        ("timestamp", b"\x00\x00\x01\x9a" + bytes(4)),
        ("message_id", b"\x02\xff\xfe"),
        ("message_id", b"\x09short"),
        ("cluster_id", b"\x01c"),
    ],
)
def test_odd_properties_are_read_as_pamqp_reads_them_wherever_they_end(name: str, value: bytes) -> None:
    for header in every(name, value):
        assert seen(properties_of(header)) == seen(by_pamqp(header))


def test_flags_that_no_property_has_are_left_to_pamqp() -> None:
    for flags in (b"\x00\x01\x00\x00", b"\x00\x02", b"\x80\x01\x80\x00\x01a"):
        assert seen(properties_of(bytes(12) + flags)) == seen(by_pamqp(bytes(12) + flags))


def test_properties_are_those_of_the_specification() -> None:
    assert list(Basic.Properties.flags.values()) == [1 << bit for bit in range(15, 1, -1)]
    assert {Properties.amqp_type(name) for name in Properties.attributes()} == {
        "shortstr", "octet", "table", "timestamp"
    }  # fmt: skip
