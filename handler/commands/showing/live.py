"""The live table of requests on a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from handler.commands.showing.phases import phase_text
from handler.commands.showing.progress import Board, Progress
from handler.commands.showing.tables import console
from handler.operations.sentences import sentence
from handler.operations.wording import clean, duration


@contextmanager
def live(board: Board) -> Iterator[None]:
    """The table of this board, drawn anew again and again."""
    screen = console()

    def draw() -> RenderableType:
        # A table that is taller than the screen could not be redrawn in place.
        return live_table(board, now=datetime.now(UTC), rows=max(3, screen.size.height - 3))

    with Live(get_renderable=draw, console=screen, refresh_per_second=8):
        yield


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
