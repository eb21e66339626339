"""`jobrelay submit`: publishes requests and, with `--watch`, waits for how they end."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import click
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Kind, Topic, TopicRefused
from adapters.lanes import NORMAL
from events.cloudevent.event import InvalidEvent, encode_structured, parse_json
from events.names import REQUESTED_TYPE
from events.phases import Phase
from handler.commands.connection import broker_of
from handler.commands.documents import Changes, Document, make_event, problems, read_documents
from handler.commands.errors import FAILED, OK, Failed, Misuse
from handler.commands.showing.output import clean, write
from handler.commands.showing.progress import Board, Progress, phase_of, request_of
from handler.commands.showing.reading import EVERYTHING, Heard, key_of, lifecycle
from handler.commands.showing.show import View, shown, tell_failure
from handler.settings.settings import Settings

RECALL_SECONDS = 5.0
"""A request without an event for this long may be a repeat: its events were published before, and are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What to publish, where, and what to do then.

    `made`: to watch, the ids of the requests that each event for functions makes, by its own id.
    """

    events: Sequence[CloudEvent]
    lane: str = NORMAL
    watch: bool = False
    form: str = "table"
    made: Mapping[str, Sequence[str]] = field(default_factory=dict)


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
            write(submission.form, parse_json(encode_structured(event), what="the event"))


def request_id(event: CloudEvent) -> str:
    """The id of the request in its lifecycle events. For a request of a function, `<function>/` goes before it."""
    data: object = event.get_data() if event.get_type() == REQUESTED_TYPE else None
    own = data.get("id") if isinstance(data, dict) else None
    return own if isinstance(own, str) and own else event.get_id()


async def _publish_and_watch(broker: Broker, submission: Submission) -> int:
    made = submission.made
    ids = [name for event in submission.events for name in made.get(request_id(event)) or [request_id(event)]]
    board = Board()
    for name in ids:
        board.expect(name)
    # An event that no function takes is answered under its own id, not under that of a request.
    key = key_of(request_id=ids[0]) if len(board.requests) == 1 and not made else EVERYTHING
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

    def __init__(self, board: Board, view: View, made: Mapping[str, Sequence[str]]) -> None:
        self.ended = asyncio.Event()
        self._board = board
        self._view = view
        self._made = made
        self._others: set[str] = set()

    async def follow(self, events: AsyncIterator[Heard]) -> None:
        async for heard in events:
            self._show(heard)

    async def recall(self, broker: Broker, key: str) -> None:
        """Requests without events so far may be repeats, which bring none: show what became of the originals."""
        await asyncio.sleep(RECALL_SECONDS)
        silent = {progress.id for progress in self._board.requests.values() if not progress.phases}
        announced: set[str] = set()
        async with lifecycle(broker, key=key, follow=False) as events:
            async for heard in events:
                name = request_of(heard.event)
                # A rejection of an earlier request says nothing about this request.
                if name not in silent or phase_of(heard.event) == Phase.REJECTED:
                    continue
                if name not in announced:
                    announced.add(name)
                    click.echo(f"{clean(name)} was submitted before: this is what became of it", err=True)
                self._show(heard)

    def _show(self, heard: Heard) -> None:
        name = request_of(heard.event)
        if name in self._made and phase_of(heard.event) == Phase.REJECTED:
            self._give_up(name)
        if name not in self._board.requests:
            self._notice(name, heard)
            return
        progress = self._board.take(heard)
        if progress is not None:
            self._view(heard.event, progress)
        if all(progress.ended for progress in self._board.requests.values()):
            self.ended.set()

    def _give_up(self, event_id: str) -> None:
        """The event was rejected as a whole: what it has not made yet it never makes."""
        for name in self._made[event_id]:
            if name in self._board.requests and not self._board.requests[name].phases:
                del self._board.requests[name]
        self._board.expect(event_id)

    def _notice(self, name: str, heard: Heard) -> None:
        """Say that an event made a request that nobody named."""
        event_id = heard.event.get_extension("causationid")
        if event_id in self._made and name.endswith(f"/{event_id}") and name not in self._others:
            self._others.add(name)
            click.echo(f"{clean(event_id)} made {clean(name)} too, which is not waited for", err=True)


def outcome(requests: Sequence[Progress]) -> int:
    """The exit code. Prints to standard error why requests did not succeed."""
    failed = [progress for progress in requests if progress.exit_code != OK]
    for progress in failed:
        tell_failure(progress, say=lambda line: click.echo(line, err=True))
    if len(requests) == 1:
        return requests[0].exit_code
    return FAILED if failed else OK
