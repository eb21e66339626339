"""`jobrelay cancel`, `suspend`, `resume`, `trigger`: publish a control event and wait for its answer."""

import asyncio
from collections.abc import AsyncIterator

import click
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from events.cloudevent.values import document_as_written
from events.names import CONTROL_TYPE
from events.request.control import ACCEPTED, control_key
from handler.commands.connection import broker_of
from handler.commands.errors import OK, Failed
from handler.commands.showing.output import write
from handler.commands.showing.progress import detail_of
from handler.commands.showing.reading import Heard, lifecycle
from handler.operations.controls import control_event
from handler.operations.sentences import error_text
from handler.operations.wording import clean
from handler.settings.settings import Settings


async def control(
    settings: Settings,
    *,
    verb: str,
    request_id: str,
    request_source: str | None,
    job: str | None = None,
    wait: float,
    form: str,
) -> int:
    """Publish a control event and print the answer. `job`: `[namespace/]name`. `wait`: seconds; 0 does not wait.

    Raises `Failed` if the answer is a refusal, or does not come in time.
    """
    event = control_event(verb, request_id, request_source, job)
    async with broker_of(settings) as broker:
        if not wait:
            await broker.publish(Topic(Kind.CONTROL), event)
            click.echo(clean(event.get_id()))
            return OK
        answers = lifecycle(broker, key=control_key(event.get_id(), "*"), follow=True, new_only=True)
        async with answers as events:
            await broker.publish(Topic(Kind.CONTROL), event)
            answer = await _first_within(events, wait)
    if answer is None:
        raise Failed(f"no answer within {wait:g} s: is jobrelay running? The {verb} stays in the queue")
    return _print_answer(answer, verb=verb, request_id=request_id, form=form)


async def _first_within(events: AsyncIterator[Heard], seconds: float) -> CloudEvent | None:
    try:
        async with asyncio.timeout(seconds):
            async for heard in events:
                return heard.event
    except TimeoutError:
        pass
    return None


def _print_answer(answer: CloudEvent, *, verb: str, request_id: str, form: str) -> int:
    """Returns the exit code. Raises `Failed` for a refusal."""
    detail = detail_of(answer)
    accepted = answer.get_type() == f"{CONTROL_TYPE}.{ACCEPTED}"
    if form != "table":
        write(form, document_as_written(answer))
    elif accepted:
        jobs, made = detail.get("jobs"), detail.get("run")
        names = ", ".join(str(job) for job in jobs) if isinstance(jobs, list) else ""
        names = f"{made} in {names}" if made else names
        click.echo(clean(f"{request_id}: {verb} accepted, {names}"))
    if not accepted:
        raise Failed(clean(f"{request_id}: {verb} refused, {error_text(detail.get('error'), None)}"))
    return OK
