"""What an API server says of an object, without the values it repeats: they are a request's, and may be secrets. Pure.

Kubernetes writes `<field>: Invalid value: <value>: <sentence>`, with the value as Go prints it: quoted, as a number, as
`map[…]`, as a Go literal or as JSON. Free words, such as a webhook's, are not touched.
"""

import re

_KIND = re.compile(r"\b(?:(?:Invalid|Unsupported|Duplicate) value|Not found|Too long|Too many): ")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r'[-+]?\d[\w.+-]*|true|false|null|nil|<nil>|[^\s"\[{(]+?(?=: |, |\]|$)')
"""A number and the like, or what prints itself without quotes: a sentence has more than one word."""
_TYPE = re.compile(r"&?(?:interface \{\}|map\[[\w.*/]+\](?=[\w*\[])|\[\d*\]|[\w.*/]|\(\*[\w./]+\))*(?=[\[{(])")
_INSIDE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{(]|[\]})]', re.DOTALL)
_AFTER = re.compile(r": |, |[\])}.;\s]|$")
"""What stands after a value. Anything else means that its end was not found."""
_ESCAPE = re.compile(r"\\(?:([abfnrtv])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LEFT_OUT = "…"
_SHORTEST = 3
"""Characters of a value that is looked for in the sentence after it, too."""
_LONG = 64
"""Characters of a value that is no part of another word."""
_STRING = r'"(?:[^"\\]|\\.)*"'
_PARSERS = (
    (re.compile(rf"\b(parsing(?: time)?) {_STRING}"), rf"\1 {_LEFT_OUT}"),
    (re.compile(rf"\bcannot parse {_STRING}"), f"cannot parse {_LEFT_OUT}"),
    (re.compile(r"\b(cannot unmarshal number) \S+ into"), r"\1 into"),
)
"""What Go's own parsers say of a text or number that is none of theirs."""


def without_values(text: str) -> str:
    """The text with the same sentences. Where the end of a value cannot be told, all that follows is left out."""
    told = []
    while (found := _KIND.search(text)) is not None:
        told.append(text[: found.start()])
        end = _end(text, found.end())
        if end == found.end():  # No value: a sentence follows at once.
            told.append(found[0])
            text = text[end:]
            continue
        kind = found[0].removesuffix(": ")
        if end < 0:
            return "".join((*told, kind, f": {_LEFT_OUT}"))
        told.append(kind)
        text = _unrepeated(text[found.end() : end], text[end:])
    text = "".join((*told, text))
    for pattern, instead in _PARSERS:
        text = pattern.sub(instead, text)
    return text


def _end(text: str, start: int) -> int:
    """Where the value that begins at `start` ends: there, if there is none; -1 if that cannot be told."""
    for pattern in (_QUOTED, _PLAIN):
        if (found := pattern.match(text, start)) is not None:
            return found.end() if _AFTER.match(text, found.end()) else -1
    if text[start : start + 1] == '"':
        return -1
    typed = _TYPE.match(text, start)
    if typed is None:
        return start
    depth = 0
    for found in _INSIDE.finditer(text, typed.end()):
        depth += (found[0] in "[{(") - (found[0] in "]})")
        if depth == 0 and not found[0].startswith('"'):
            return found.end() if _AFTER.match(text, found.end()) else -1
    return -1


def _unrepeated(value: str, after: str) -> str:
    """What follows a value, in which Kubernetes may say it once more: `expected exactly 5 fields, found 1: [daily]`."""
    quoted = _QUOTED.fullmatch(value)
    inside = value if quoted is None else quoted[1]
    for form in {inside, _ESCAPE.sub(_unescaped, inside)}:
        if len(form) > _LONG:
            after = after.replace(form, _LEFT_OUT)
        elif len(form) >= _SHORTEST and form in after:
            after = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", _LEFT_OUT, after)
    return after


def _unescaped(found: re.Match[str]) -> str:
    control, *codes, itself = found.groups()
    if control is not None:
        return _CONTROLS[control]
    code = next((code for code in codes if code is not None), None)
    return str(itself) if code is None else chr(min(int(code, 16), 0x10FFFF))
