"""Shows lifecycle events as they come: as a live table on a terminal, as lines in a pipe, or whole as JSON or YAML."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Protocol

from events.cloudevent.timestamp import format_time
from events.cloudevent.values import document_as_written
from handler.commands.showing.output import lines_of, write
from handler.commands.showing.progress import Board, Progress, detail_of, is_aside, phase_of
from handler.commands.showing.reading import Heard
from handler.operations.sentences import sentence
from handler.operations.wording import clean

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
        from handler.commands.showing.live import live

        with live(board):
            yield lambda heard, progress: None


def _line(heard: Heard, progress: Progress | None) -> None:
    """Print `time  id  phase  detail`, unless the event is a repeat."""
    if progress is None:
        return
    event = heard.event
    when = format_time(heard.at.astimezone(UTC).replace(microsecond=0))
    phase = phase_of(event) or ""
    detail = sentence(phase, detail_of(event))
    if is_aside(event, progress):
        detail = f"event {event.get_extension('causationid')} changes nothing: {detail}"
    text = f"{when}  {clean(progress.name)}  {phase:<9}  {clean(detail)}"
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


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
