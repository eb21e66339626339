"""How values in the metadata of objects are read."""

from datetime import UTC, datetime

import pytest

from k8s.reading.metadata import epoch, number


@pytest.mark.parametrize(("version", "value"), [("12", 12), ("", 0), ("x", 0), ("\u00b2", 0), ("-1", 0)])
def test_versions_are_numbers(version: str, value: int) -> None:
    assert number(version) == value


def test_equal_times_are_one_object() -> None:
    first, again = (epoch(datetime(2026, 11, 21, 22, 17, 11, tzinfo=UTC)) for _ in range(2))
    assert first == 1795299431.0
    assert first is again
