"""Text from outside in a form that shows what it is: it moves no cursor, begins no line, and reorders nothing."""

import re

MAX_FIELD = 256
"""Characters of a value in a log line or a span."""
_UNSEEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # what is invisible, reorders, ends lines
    "\ud800-\udfff"  # halves of surrogate pairs, which cannot be encoded
    "\U000e0000-\U000e0fff"  # tags and variation selectors
    "]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def escaped(text: str) -> str:
    """Control characters, and others that nobody sees, as JSON would escape them. Within JSON it means the same."""
    if text.isascii() and text.isprintable():
        return text  # Nearly all texts are like that, and the expression takes four times as long.
    return _UNSEEN.sub(_escape, text)


def lines(text: str) -> str:
    """Like `escaped`, but for the ends of lines and tabs."""
    return "\n".join(escaped(line.expandtabs(4)) for line in text.split("\n"))


def encodable(text: str) -> str:
    """With halves of surrogate pairs escaped, which no UTF-8 can hold."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def clipped(text: str, most: int = MAX_FIELD) -> str:
    """The text, or the beginning of a longer one, ending in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def is_plain(text: str) -> bool:
    """Whether `escaped` would leave it as it is."""
    return _UNSEEN.search(text) is None


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _SHORT:
        return _SHORT[character]
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))
