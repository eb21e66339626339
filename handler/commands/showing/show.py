"""Shows lifecycle events as they come: as a live table on a terminal, as lines in a pipe, or whole as JSON or YAML."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from events.cloudevent.values import document_as_written
from handler.commands.showing.output import console, lines_of, write
from handler.commands.showing.phases import phase_text
from handler.commands.showing.progress import Board, Progress, detail_of, is_aside, phase_of
from handler.commands.showing.reading import Heard
from handler.operations.sentences import sentence
from handler.operations.wording import clean, duration

_LOG_LINES = 20


class View(Protocol):
    """Called with every event, in order, after the board has folded it in."""

    def __call__(self, heard: Heard, progress: Progress | None) -> None: ...


@contextmanager
def shown(form: str, board: Board) -> Iterator[View]:
    """The view for this format and this standard output."""
    if form != "table":
        yield lambda heard, progress: write(form, document_as_written(heard.event))
    elif not sys.stdout.isatty():
        yield _line
    else:
        screen = console()

        def draw() -> RenderableType:
            # A table that is taller than the screen could not be redrawn in place.
            return live_table(board, now=datetime.now(UTC), rows=max(3, screen.size.height - 3))

        with Live(get_renderable=draw, console=screen, refresh_per_second=8):
            yield lambda heard, progress: None


def _line(heard: Heard, progress: Progress | None) -> None:
    """Print `time  id  phase  detail`, unless the event is a repeat."""
    if progress is None:
        return
    event = heard.event
    when = heard.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    phase = phase_of(event) or ""
    detail = sentence(phase, detail_of(event))
    if is_aside(event, progress):
        detail = f"event {event.get_extension('causationid')} changes nothing: {detail}"
    text = f"{when}  {clean(progress.name)}  {phase:<9}  {clean(detail)}"
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def live_table(board: Board, *, now: datetime, rows: int) -> RenderableType:
    """A line per request, at most `rows`: its id, its phase, how long it takes, and what its last event says."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("REQUEST", no_wrap=True, overflow="ellipsis", max_width=36)
    table.add_column("PHASE", no_wrap=True, width=9)
    table.add_column("TIME", justify="right", no_wrap=True, min_width=5)
    table.add_column("DETAIL", ratio=1, no_wrap=True, overflow="ellipsis")
    chosen = _chosen(list(board.requests.values()), rows)
    for progress in chosen:
        end = progress.last if progress.ended else now
        age = (end - progress.first).total_seconds() if progress.first and end else None
        # The duration has a column of its own.
        last = sentence(progress.phase, {**progress.detail, "duration": None})
        detail = Text(clean(last), style="" if progress.ended else "dim")
        table.add_row(Text(clean(progress.name)), phase_text(progress.phase), Text(duration(age), style="dim"), detail)
    hidden = board.forgotten + len(board.requests) - len(chosen)
    foot = [Text(f"and {hidden} more", style="dim")] if hidden else []
    return Group(table, *foot)


def _chosen(requests: Sequence[Progress], rows: int) -> list[Progress]:
    """The latest that have not ended and, where rows are left, the latest that have, in the order they appeared."""
    if len(requests) <= rows:
        return list(requests)
    going = [progress for progress in requests if not progress.ended][-rows:]
    room = rows - len(going)
    ended = [progress for progress in requests if progress.ended][-room:] if room else []
    kept = {(progress.source, progress.id) for progress in (*going, *ended)}
    return [progress for progress in requests if (progress.source, progress.id) in kept]


def tell_failure(progress: Progress, *, say: Callable[[str], None]) -> None:
    """Say why a request did not succeed: the error, every field that is wrong, and the end of its log."""
    error = progress.detail.get("error")
    found = error if isinstance(error, dict) else {}
    message = str(found.get("message", "")).strip()
    code, container = progress.detail.get("exitCode"), found.get("container")
    exit_text = f" with exit code {code}" if code is not None else ""
    exit_text += f" in container {container}" if container else ""
    say(clean(f"{progress.name} {progress.phase}{exit_text}: {found.get('errorCode', '')}"))
    for line in lines_of(message):
        say(f"  {line}")
    fields = found.get("fields")
    for item in fields if isinstance(fields, list) else []:
        if isinstance(item, dict) and str(item.get("message")) not in message:
            say(f"  {clean(item.get('path', ''))}: {clean(item.get('message', ''))}")
    tail = lines_of(progress.detail.get("logTail") or "")
    if tail and "\n".join(tail) != "\n".join(lines_of(message)):
        say("  the end of its log:")
        for line in tail[-_LOG_LINES:]:
            say(f"    {line}")
