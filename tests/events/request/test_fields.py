"""What pydantic's core compares with a pattern is what `re` would take, and its errors are told in our words."""

import re
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError

from events.request import fields
from tests.long import examples

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DNS, DNS_DOTS = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
LIKE: dict[str, tuple[Any, str, int]] = {
    "Prefix": (fields.Prefix, DNS, 32),
    "DnsLabel": (fields.DnsLabel, DNS, 63),
    "FunctionName": (fields.FunctionName, DNS, 32),
    "ObjectName": (fields.ObjectName, DNS_DOTS, 253),
    "LabelName": (fields.LabelName, DNS_DOTS, 63),
    "LabelValue": (fields.LabelValue, LABEL, 63),
    "LabelText": (fields.LabelText, rf"({LABEL})?", 63),
    "EnvName": (fields.EnvName, r"[ -<>-~]+", 1024),
}
TEXT = st.text("ab0Z-._=\n é\u2028", max_size=6) | st.text(max_size=3)
# Every space and control character that there is, and their neighbours.
CHARACTERS = [chr(code) for code in (*range(0x3002), 0xFEFF, 0xFFFD, 0x1F600)]


def takes(kind: Any, value: object) -> bool:
    try:
        return bool(TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value) == value)
    except ValidationError:
        return False


@pytest.mark.parametrize("name", LIKE)
def test_a_pattern_means_the_same_in_the_core(name: str) -> None:
    kind, pattern, longest = LIKE[name]
    adapter: TypeAdapter[str] = TypeAdapter(kind, config=ConfigDict(strict=True))

    @given(TEXT | st.integers(longest - 1, longest + 1).map("a".__mul__))
    @settings(max_examples=examples(200), deadline=None)
    def compare(text: str) -> None:
        wanted = len(text) <= longest and re.fullmatch(pattern, text, re.ASCII) is not None
        try:
            assert adapter.validate_python(text) == text
        except ValidationError:
            assert not wanted
        else:
            assert wanted

    compare()


@pytest.mark.parametrize("around", ["{}", "a{}", "{}a", "a{}a"])
def test_characters_of_identifiers_images_and_directories(around: str) -> None:
    kinds = {"Identifier": fields.Identifier, "Image": fields.Image, "Directory": fields.Directory}
    adapters = {name: TypeAdapter(kind, config=ConfigDict(strict=True)) for name, kind in kinds.items()}
    for character in CHARACTERS:
        text = around.format(character)
        plain = not CONTROL.search(text)
        wanted = {
            "Identifier": plain and text == text.strip(),
            "Image": plain and not re.search(r"\s", text),
            "Directory": plain,
        }
        found = {}
        for name, adapter in adapters.items():
            try:
                found[name] = adapter.validate_python(text) == text
            except ValidationError:
                found[name] = False
        assert found == wanted, ascii(text)


@pytest.mark.parametrize(("kind", "longest"), [("Identifier", 256), ("Image", 1024), ("Directory", 4096)])
def test_lengths_of_identifiers_images_and_directories(kind: str, longest: int) -> None:
    checked = getattr(fields, kind)
    assert [takes(checked, "é" * length) for length in (0, 1, longest, longest + 1)] == [False, True, True, False]


@pytest.mark.parametrize("kind", [fields.Identifier, fields.LabelValue])
def test_errors_are_a_rule_in_our_words_and_of_the_type_where_it_is_wrong(kind: Any) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(kind, config=ConfigDict(strict=True))
    with pytest.raises(ValidationError) as broken:
        adapter.validate_python("secret ")
    (error,) = broken.value.errors(include_input=False)
    assert error["type"] == "rule"
    assert error["ctx"]["text"].startswith("is no ")
    assert re.search(r"\d+", error["ctx"]["allowed"])
    assert "secret" not in f"{error}"
    with pytest.raises(ValidationError) as broken:
        adapter.validate_python(5)
    assert [one["type"] for one in broken.value.errors()] == ["string_type"]
