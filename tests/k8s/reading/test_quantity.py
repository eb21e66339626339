"""Kubernetes' quantities as exact numbers."""

from typing import Any

import pytest

from k8s.reading.quantity import parse


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", "1"), ("500m", "0.5"), ("2Gi", "2147483648"), ("1e3", "1000"), ("1.5k", "1500"), (2, "2")],
)
def test_quantities_are_exact(text: Any, amount: str) -> None:
    assert str(parse(text).normalize().__format__("f")) == amount


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "--1", "1Zi", "."])
def test_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse(text)


@pytest.mark.parametrize("text", ["1e99999999", "9" * 5000, f"1e{'9' * 5000}", f"1e{'0' * 300}1"])
def test_what_is_too_long_to_be_meant_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        parse(text)
