"""Finds the metrics, labels and values that a PromQL expression names. Knows tokens, not grammar: it accepts more."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<text>"[^"]*") | (?P<range>\[[^\]]*\]) | (?P<number>\d[\w.]*) | (?P<name>[a-zA-Z_:][\w:]*)
    | (?P<operator>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},]) | (?P<space>\s+)""",
    re.VERBOSE,
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric with its matchers: label, operator, value."""

    metric: str
    matchers: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Named:
    """What an expression names. `grouping`: labels of `by (…)` and the like."""

    selectors: list[Selector]
    grouping: set[str]


def named(expression: str) -> Named:
    """Raises `ValueError` for text that is no token of PromQL, and for unmatched brackets."""
    tokens = list(_tokens(expression))
    found = Named([], set())
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if kind != "name" or text in _WORDS:
            continue
        if text in _GROUPING:
            end = tokens.index(("operator", ")"), at)
            found.grouping.update(word for sort, word in tokens[at:end] if sort == "name")
            at = end
        elif following == "{":
            end = tokens.index(("operator", "}"), at)
            words = [word for _, word in tokens[at + 1 : end] if word != ","]
            matchers = zip(words[::3], words[1::3], words[2::3], strict=True)
            found.selectors.append(Selector(text, [(label, how, value.strip('"')) for label, how, value in matchers]))
            at = end
        elif following not in {"(", *_GROUPING}:
            found.selectors.append(Selector(text))
    return found


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at, open_brackets = 0, 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"no PromQL at {expression[at : at + 20]!r}")
        at = match.end()
        open_brackets += {"(": 1, ")": -1}.get(match[0], 0)
        if open_brackets < 0:
            raise ValueError(f"a bracket too many in {expression!r}")
        if match.lastgroup != "space":
            yield match.lastgroup, match[0]
    if open_brackets:
        raise ValueError(f"a bracket too few in {expression!r}")
