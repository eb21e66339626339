"""Waiting for what happens to a request on a stage, or in the output of a process."""

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind
from events.cloudevent.event import decode_structured
from events.phases import TERMINAL
from handler.local.processes import Process
from tests.chaos.load import Stage
from tests.handler.relay import phase_of
from tests.handler.samples import until


async def ended(on: Stage, request_id: str) -> list[CloudEvent]:
    """The terminal events in the stream, without repeats, once there is at least one."""

    async def look() -> list[CloudEvent]:
        async with on.broker.history(Kind.LIFECYCLE, key=f"tests.{request_id}.*") as records:
            events = [decode_structured(record.body) async for record in records]
        return list({event.get_id(): event for event in events if phase_of(event) in TERMINAL}.values())

    return await until(look)


async def reached(on: Stage, request_id: str, phase: str) -> None:
    """Return once the observer has an event of this phase."""

    async def look() -> bool:
        return any((event.subject, event.phase) == (request_id, phase) for event in on.observer.received())

    await until(look)


async def says(process: Process, words: str) -> bool:
    return words in process.output()
