"""What media types are text, and which charsets they may have."""

import pytest

from events.cloudevent.content import as_text, is_text

TEXTS = [
    "text/plain",
    "TEXT/HTML; charset=utf-8",
    "application/xml",
    "application/soap+xml",
    "application/yaml",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "application/vnd.thing; charset=iso-8859-1",
]


@pytest.mark.parametrize("content_type", TEXTS)
def test_types_of_text(content_type: str) -> None:
    assert is_text(content_type)


@pytest.mark.parametrize("content_type", ["application/avro", "application/octet-stream", "image/png", "", None])
def test_other_types_are_not_text(content_type: str | None) -> None:
    assert not is_text(content_type)


@pytest.mark.parametrize(
    ("charset", "python"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ("latin1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-16"),
        ('"Shift_JIS"', "shift_jis"),
        ("gb18030", "gb18030"),
    ],
)
def test_the_charset_is_respected(charset: str, python: str) -> None:
    text = "käse" if python != "shift_jis" else "ガ"
    assert as_text(text.encode(python), f"text/plain; charset={charset}") == text


def test_text_is_utf_8_where_nothing_is_said() -> None:
    assert as_text("käse".encode(), "text/plain") == "käse"
    assert as_text("käse".encode(), None) == "käse"


@pytest.mark.parametrize("charset", ["nonsense", "idna", "punycode", "unicode_escape", "base64", "utf-7", "\x00"])
def test_a_charset_that_no_text_has_is_refused(charset: str) -> None:
    with pytest.raises(ValueError, match="in a charset that is not known"):
        as_text(b"x", f"text/plain; charset={charset}")


def test_bytes_that_are_not_in_the_charset_are_refused() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        as_text(b"\xff", "text/plain")
    with pytest.raises(ValueError, match="not US-ASCII"):
        as_text(b"\xff", "text/plain;charset=us-ascii")
