"""How long a request was in each state, as the bar of its page shows it. Pure."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from handler.console.pages.wording import parsed
from handler.console.views.models import Pod, Told

_KINDS: Mapping[str, tuple[str, str]] = {
    "created": ("wait", "waiting"),
    "queued": ("wait", "waiting"),
    "scheduled": ("wait", "waiting"),
    "started": ("run", "running"),
    "progress": ("run", "running"),
    "resumed": ("wait", "waiting"),
    "stalled": ("warn", "stalled"),
    "retrying": ("warn", "retrying"),
    "suspended": ("off", "suspended"),
}
"""By the phase that begins it: the span's colour, and its word. Phases that end a request begin none."""
WIDTH = 1000.0
"""Of the bar, in its own units."""
_LEAST = 6.0
"""A span that took no time is seen, too."""


@dataclass(frozen=True, slots=True)
class Span:
    """`x` and `width`: in the bar. `seconds`: how long it took; `begun`: epoch seconds."""

    kind: str
    word: str
    begun: float
    seconds: float
    x: float
    width: float


def spans_of(events: Sequence[Told], pods: Iterable[Pod] = (), *, ended: bool) -> list[Span]:
    """The spans between the first event and the last, or now where the request has not ended."""
    marks = list(_marks(events, pods))
    if not marks:
        return []
    last = marks[-1][0] if ended else max(time.time(), marks[-1][0])
    joined = _joined(marks)
    ends = [*(begun for begun, _ in joined[1:]), last]
    raw = [(kind, begun, max(0.0, end - begun)) for (begun, kind), end in zip(joined, ends, strict=True) if kind]
    whole = sum(seconds for _, _, seconds in raw)
    widths = [max(_LEAST, WIDTH * seconds / whole) if whole else WIDTH / len(raw) for _, _, seconds in raw]
    return list(_placed(raw, widths))


def _placed(raw: Sequence[tuple[tuple[str, str], float, float]], widths: Sequence[float]) -> Iterable[Span]:
    scale, x = WIDTH / (sum(widths) or 1.0), 0.0
    for ((kind, word), begun, seconds), width in zip(raw, widths, strict=True):
        yield Span(kind, word, begun, seconds, round(x, 1), round(width * scale, 1))
        x += width * scale


def _marks(events: Iterable[Told], pods: Iterable[Pod]) -> Iterable[tuple[float, tuple[str, str] | None]]:
    """When each event was, never before the one that it follows, and what it begins.

    No event tells of the start of a further attempt: its pod does.
    """
    starts = sorted(when.timestamp() for pod in pods if (when := parsed(pod.started)) is not None)
    latest, phase = 0.0, ""
    for event in events:
        when = parsed(event.time)
        if when is None:
            continue
        if phase == "retrying":
            yield from ((start, _KINDS["started"]) for start in starts if latest < start < when.timestamp())
        latest, phase = max(latest, when.timestamp()), event.phase
        yield latest, _KINDS.get(phase)
    if phase == "retrying":
        yield from ((start, _KINDS["started"]) for start in starts if latest < start)


def _joined(marks: Iterable[tuple[float, tuple[str, str] | None]]) -> list[tuple[float, tuple[str, str] | None]]:
    """Without those that go on with what the one before them began."""
    found: list[tuple[float, tuple[str, str] | None]] = []
    for begun, kind in marks:
        if not found or found[-1][1] != kind:
            found.append((begun, kind))
    return found
