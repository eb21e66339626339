"""Values as pages show them: moments, ages, phases, JSON. What is from outside is made visible, then escaped."""

import json
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from markupsafe import Markup, escape

from events.cloudevent.timestamp import parse_time
from events.phases import Phase
from handler.operations.wording import duration
from handler.visible import clipped, encodable, escaped, lines

_PHASES = frozenset(phase.value for phase in Phase)
MAX_SOURCE = 28
MAX_SHOWN = 16 * 1024
"""Characters of a result, a message or an event that a page shows; the JSON has all."""


def shown(value: object) -> object:
    """What every `{{ }}` passes: text with what nobody sees escaped, nothing for None. Markup of ours stays."""
    if value is None:
        return ""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def exact(value: object) -> Markup:
    """Exactly this text: for the value of a field that is sent back. Elsewhere show it as any other text."""
    return escape(encodable("" if value is None else str(value)))


def preformatted(value: object, most: int = MAX_SHOWN) -> Markup:
    """Text with its lines kept, for `<pre>`: its beginning, when it is longer."""
    return escape(lines(clipped(str(value), most)))


def cut(value: object, most: int = MAX_SHOWN) -> str:
    """The beginning of a text; nothing for None."""
    return "" if value is None else clipped(str(value), most)


def tail(value: object, most: int = 40) -> Markup:
    """The last lines of a text, for `<pre>`."""
    return preformatted("\n".join(str(value)[-MAX_SHOWN:].splitlines()[-most:]))


def pretty(value: Any, most: int = MAX_SHOWN) -> Markup:
    """JSON, indented, for `<pre>`: its beginning, when it is longer."""
    return preformatted(as_json(value), most)


def as_json(value: Any) -> str:
    """Indented JSON. Numbers that were kept as they were written stay so."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        # Halves of surrogate pairs, and integers beyond 64 bits.
        return json.dumps(value, indent=2, default=str)


def parsed(moment: str | None) -> datetime | None:
    """A time of a model; None where there is none, and for what no clock shows."""
    try:
        return None if moment is None else parse_time(moment).astimezone(UTC)
    except ValueError:
        return None


def age(moment: str | None) -> Markup | str:
    """How long ago, or how soon: `3m ago`. Its title says when."""
    when = parsed(moment)
    return "" if when is None else _time(when, _ago(when), title=f"{_second(when)} UTC")


def since(moment: str | None) -> Markup | str:
    """Like `age`, without a title: for lists, whose rows are many."""
    when = parsed(moment)
    return "" if when is None else _time(when, _ago(when))


def clock(moment: str | None) -> Markup | str:
    """When, in UTC: `2026-11-29 10:02:11`."""
    when = parsed(moment)
    return "" if when is None else _time(when, _second(when))


def hour(moment: str | None) -> Markup | str:
    """When on its day: `10:02:11`. Its title says which day."""
    when = parsed(moment)
    return "" if when is None else _time(when, f"{when:%H:%M:%S}", title=f"{_second(when)} UTC")


def hour_of(moment: str | None) -> str:
    """Like `hour`, without markup."""
    when = parsed(moment)
    return "" if when is None else f"{when:%H:%M:%S}"


def between(begun: str | None, ended: str | None) -> str:
    """How long from the one to the other, or until now: `3m12s`."""
    first, last = parsed(begun), parsed(ended)
    if first is None:
        return ""
    return lasted((time.time() if last is None else last.timestamp()) - first.timestamp())


@lru_cache(maxsize=64)
def phase(word: str) -> Markup:
    """The word of a phase, in its colour; the style sheet has its glyph."""
    # A later version may have phases that we have no colour for, and a word is part of a class here.
    style = f" phase-{word}" if word in _PHASES else ""
    return Markup('<span class="phase{}">{}</span>').format(style, shown(word))


def short(text: str | None, most: int = MAX_SOURCE) -> str:
    """The text, or both ends of a longer one: the ends tell sources and images apart."""
    if text is None or len(text) <= most:
        return text or ""
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def lasted(seconds: float | None) -> str:
    """A duration as `840ms`, `7s` or `3m12s`; nothing for None."""
    if seconds is not None and 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    return duration(seconds)


def _ago(when: datetime) -> str:
    seconds = time.time() - when.timestamp()
    return f"{_round(seconds)} ago" if seconds >= 0 else f"in {_round(-seconds)}"


def _round(seconds: float) -> str:
    """Ages need one unit: `3m` is as good as `3m12s`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def _second(when: datetime, between: str = " ") -> str:
    """`2026-11-29 10:02:11`. `strftime` writes the year 1 as `1` before Python 3.14."""
    return when.replace(tzinfo=None).isoformat(between, "seconds")


def _time(when: datetime, words: str, *, title: str | None = None) -> Markup:
    stamp = f"{_second(when, 'T')}Z"
    if title is None:
        return Markup("<time datetime=%s>%s</time>") % (stamp, words)
    return Markup('<time datetime=%s title="%s">%s</time>') % (stamp, title, words)
