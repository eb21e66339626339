"""`jobrelay submit`: publishes requests and, with `--watch`, waits for how they end."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import click
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Kind, Topic, TopicRefused
from adapters.lanes import NORMAL
from events.cloudevent.event import InvalidEvent
from events.cloudevent.values import document_as_written
from events.names import REQUESTED_TYPE
from events.phases import Phase
from handler.commands.connection import broker_of
from handler.commands.errors import FAILED, OK, Failed, Misuse
from handler.commands.expected import Made
from handler.commands.showing.output import write
from handler.commands.showing.progress import Board, Progress, is_aside, phase_of, request_of, source_of
from handler.commands.showing.reading import EVERYTHING, Heard, key_of, lifecycle
from handler.commands.showing.show import View, shown, tell_failure
from handler.operations.documents import Changes, Document, make_event, problems, read_documents
from handler.operations.wording import clean
from handler.settings.settings import Settings

RECALL_SECONDS = 5.0
"""A request without an event for this long may be a repeat: its events were published before, and are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What to publish, where, and what to do then.

    `made`: to watch, the requests that each event for functions makes.
    """

    events: Sequence[CloudEvent]
    lane: str = NORMAL
    watch: bool = False
    form: str = "table"
    made: Made = field(default_factory=dict)


def load(files: Sequence[str]) -> list[Document]:
    """The documents of all files; `-` is standard input. Raises `Misuse`."""
    return [document for file in files for document in _load(file)]


def _load(file: str) -> list[Document]:
    try:
        if file == "-":
            return read_documents(sys.stdin.read())
        with click.open_file(file, encoding="utf-8") as stream:
            return read_documents(stream.read())
    except OSError as error:
        raise Misuse(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise Misuse(f"{file}: {error}") from error


def prepare(documents: Sequence[Document], changes: Changes, *, judge: bool) -> list[CloudEvent]:
    """The request events. Raises `Misuse` with all mistakes: with `judge`, also with what the handler would reject."""
    if changes.id is not None and len(documents) > 1:
        raise Misuse(f"--id names one request, {len(documents)} are given")
    events, mistakes = [], []
    for number, document in enumerate(documents, 1):
        name = f"request {number}: " if len(documents) > 1 else ""
        try:
            event = make_event(document, changes)
        except InvalidEvent as error:
            lines = [f"{one.name}: {one.message}" for one in error.mistakes] or [error.reason]
            mistakes += [f"{name}{line}" for line in lines]
            continue
        except ValueError as error:
            mistakes.append(f"{name}{error}")
            continue
        mistakes += [f"{name}{problem}" for problem in problems(event)] if judge else []
        events.append(event)
    if mistakes:
        raise Misuse("\n".join(["not published:", *(f"  {clean(mistake)}" for mistake in mistakes)]))
    return events


async def submit(settings: Settings, submission: Submission) -> int:
    """Publish the events. Returns the exit code."""
    async with broker_of(settings) as broker:
        if submission.watch:
            return await _publish_and_watch(broker, submission)
        await _publish(broker, submission, announce=True)
        return OK


async def _publish(broker: Broker, submission: Submission, *, announce: bool) -> None:
    topic = Topic(Kind.REQUESTS, submission.lane)
    for event in submission.events:
        try:
            # A new message id: the handler recognises repeats. The broker would drop them, but only for some minutes.
            await broker.publish(topic, event, message_id=str(uuid.uuid4()))
        except TopicRefused as error:
            raise Failed(f"{request_id(event)} was not published: {error}") from error
        if announce and submission.form == "table":
            click.echo(clean(request_id(event)))
        elif announce:
            write(submission.form, document_as_written(event))


def request_id(event: CloudEvent) -> str:
    """The id of the request in its lifecycle events. For a request of a function, `<function>/` goes before it."""
    data: object = event.get_data() if event.get_type() == REQUESTED_TYPE else None
    own = data.get("id") if isinstance(data, dict) else None
    return own if isinstance(own, str) and own else event.get_id()


async def _publish_and_watch(broker: Broker, submission: Submission) -> int:
    made, board = submission.made, Board()
    for event in submission.events:
        source, event_id = event.get_source(), event.get_id()
        for name in made.get((source, event_id)) or [request_id(event)]:
            board.expect(name, source=source, asked=event_id)
    ids = {progress.id for progress in board.requests.values()}
    # An event that no function takes is answered under its own id, not under that of a request.
    key = key_of(request_id=min(ids)) if len(ids) == 1 and not made else EVERYTHING
    async with lifecycle(broker, key=key, follow=True, new_only=True) as events:
        await _publish(broker, submission, announce=False)
        with shown(submission.form, board) as view:
            watching = _Watching(board, view, made)
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(watching.follow(events)),
                    group.create_task(watching.recall(broker, key)),
                ]
                await watching.ended.wait()
                for task in tasks:
                    task.cancel()
    return outcome(list(board.requests.values()))


class _Watching:
    """Shows the events of the board's requests until each has ended. `made`: as in `Submission`."""

    def __init__(self, board: Board, view: View, made: Made) -> None:
        self.ended = asyncio.Event()
        self._board = board
        self._view = view
        self._made = made
        self._others: set[tuple[str, str]] = set()

    async def follow(self, events: AsyncIterator[Heard]) -> None:
        async for heard in events:
            self._show(heard)

    async def recall(self, broker: Broker, key: str) -> None:
        """Requests without events so far may be repeats, which bring none: show what became of the originals."""
        await asyncio.sleep(RECALL_SECONDS)
        announced: set[tuple[str, str]] = set()
        silent = {name for name, progress in self._board.requests.items() if not progress.phases}
        async with lifecycle(broker, key=key, follow=False) as events:
            async for heard in events:
                progress = self._board.find(heard.event)
                # A rejection of an earlier request says nothing about this request.
                if progress is None or phase_of(heard.event) == Phase.REJECTED:
                    continue
                if (name := (progress.source, progress.id)) not in silent:
                    continue
                if name not in announced:
                    announced.add(name)
                    click.echo(f"{clean(progress.name)} was submitted before: this is what became of it", err=True)
                self._show(heard)

    def _show(self, heard: Heard) -> None:
        self._give_up(heard.event)
        if self._board.find(heard.event) is None:
            self._notice(heard.event)
            return
        progress = self._board.take(heard)
        if progress is not None and not _is_foreign(heard.event, progress):
            self._view(heard, progress)
        if all(progress.ended for progress in self._board.requests.values()):
            self.ended.set()

    def _give_up(self, event: CloudEvent) -> None:
        """Where an event for functions was rejected as a whole: what it has not made yet it never makes."""
        (source, event_id), name = self._cause(event), request_of(event)
        made = self._made.get((source, event_id), ())
        if phase_of(event) != Phase.REJECTED or name in made or name.endswith(f"/{event_id}"):
            return
        expected = [self._board.requests.get((source, one)) for one in made]
        lost = [progress for progress in expected if progress is not None and not progress.phases]
        for progress in lost:
            self._board.drop(progress)
        if lost:
            self._board.expect(name, source=source, asked=event_id)

    def _notice(self, event: CloudEvent) -> None:
        """Say that an event made a request that nobody named."""
        (source, event_id), name = self._cause(event), request_of(event)
        made = (source, event_id) in self._made and name.endswith(f"/{event_id}")
        if made and (source, name) not in self._others:
            self._others.add((source, name))
            click.echo(f"{clean(event_id)} made {clean(name)} too, which is not waited for", err=True)

    def _cause(self, event: CloudEvent) -> tuple[str, str]:
        """Source and id of the event for functions that this event is about; both empty if it is about none of them."""
        event_id, source = event.get_extension("causationid"), source_of(event)
        same = (key for key in self._made if key[1] == event_id and source in (None, key[0]))
        return next(same, ("", ""))


def _is_foreign(event: CloudEvent, progress: Progress) -> bool:
    """Whether it says that somebody else's event was refused: nothing that this command has asked for."""
    return is_aside(event, progress) and event.get_extension("causationid") not in progress.refused


def outcome(requests: Sequence[Progress]) -> int:
    """The exit code. Prints to standard error why requests did not succeed."""
    failed = [progress for progress in requests if progress.exit_code != OK]
    for progress in failed:
        if progress.phase == Phase.SUCCEEDED:
            click.echo(clean(f"{progress.name} succeeded, but another event for it was rejected"), err=True)
        else:
            tell_failure(progress, say=lambda line: click.echo(line, err=True))
    if len(requests) == 1:
        return requests[0].exit_code
    return FAILED if failed else OK
