"""Carries out the changes of an import: publishes events until the cluster has what is wanted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Kind, Topic, TopicRefused
from events.phases import Phase
from events.request.control import ControlVerb
from handler.commands.imports.definitions import Definition
from handler.commands.imports.planning import Existing, Step
from handler.commands.showing.progress import Progress, detail_of
from handler.commands.showing.reading import Heard, lifecycle
from handler.operations.controls import control_event
from k8s.background import beside
from k8s.base import Unavailable

LOOK_SECONDS = 0.5
_REFUSALS = f"*.*.{Phase.REJECTED}"
_ANSWERS = "_control.*.*"

Look = Callable[[], Awaitable[Mapping[str, Sequence[Existing]]]]
"""Reads the CronJobs of the set as they are now, by the ids of their definitions."""


@dataclass(slots=True, kw_only=True)
class Change:
    """A step that is being carried out."""

    step: Step
    goal: Definition | None
    """What is to exist in the end; None for nothing."""
    cancel: str | None = None
    """Id of the control event that cancels what exists, once it is published."""
    request: str | None = None
    """Id of the request that makes the goal, once it is published."""
    over: bool = False
    """Whether the goal is reached, or never will be."""
    restoring: bool = False
    """Whether what was wanted was refused, and the goal is now the former definition."""
    refusals: list[Progress] = field(default_factory=list)
    awaited: str = "the cluster does not answer"
    """What it waits for, for people."""

    @classmethod
    def of(cls, step: Step) -> "Change":
        """A change that has not begun."""
        return cls(step=step, goal=step.wanted)

    @property
    def id(self) -> str:
        """The id of the definition."""
        return self.step.id

    @property
    def former(self) -> Definition | None:
        """The definition before the change; None if there was none, or it cannot be read."""
        data = next((cron_job.data for cron_job in self.step.existing if not cron_job.deleting), None)
        return Definition(id=self.id, data=data) if isinstance(data, dict) else None

    @property
    def left(self) -> str | None:
        """For people: what there is in place of what was wanted. None if nothing was taken away."""
        if self.restoring:
            return "its former definition is in force again"
        lost = self.refusals and self.cancel is not None and self.goal is None
        return "its former definition is cancelled, and nothing is in its place" if lost else None


async def carry_out(
    broker: Broker,
    changes: Sequence[Change],
    *,
    look: Look,
    source: str,
    lane: str,
    seconds: float,
    report: Callable[[Change], None],
) -> None:
    """Carry out the changes, until all are over or `seconds` have passed. Calls `report` with each that is over."""
    answers: dict[str, CloudEvent] = {}
    applying = _Applying(broker, answers=answers, source=source, topic=Topic(Kind.REQUESTS, lane))
    async with (
        lifecycle(broker, key=_REFUSALS, follow=True, new_only=True) as refusals,
        lifecycle(broker, key=_ANSWERS, follow=True, new_only=True) as answered,
        beside(_collect(refusals, answers)),
        beside(_collect(answered, answers)),
    ):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await applying.run(changes, look=look, report=report)


async def _collect(events: AsyncIterator[Heard], answers: dict[str, CloudEvent]) -> None:
    """Keep each answer by the id of the event that it answers."""
    async for heard in events:
        answers[str(heard.event.get_extension("causationid"))] = heard.event


class _Applying:
    """Takes each change as far as the state of the cluster allows."""

    def __init__(self, broker: Broker, *, answers: Mapping[str, CloudEvent], source: str, topic: Topic) -> None:
        self._broker = broker
        self._answers = answers
        self._source = source
        self._topic = topic

    async def run(self, changes: Sequence[Change], *, look: Look, report: Callable[[Change], None]) -> None:
        """Return once all are over."""
        waiting = list(changes)
        while waiting:
            with suppress(Unavailable):  # A late change is better than half a change.
                # Copied before looking: what these answers say has happened is visible in the cluster then.
                answers = dict(self._answers)
                existing = await look()
                for change in waiting:
                    await self._advance(change, existing.get(change.id, ()), answers)
                    if change.over:
                        report(change)
                waiting = [change for change in waiting if not change.over]
            if waiting:
                await asyncio.sleep(LOOK_SECONDS)

    async def _advance(self, change: Change, existing: Sequence[Existing], answers: Mapping[str, CloudEvent]) -> None:
        rejection, answer = answers.get(change.request or ""), answers.get(change.cancel or "")
        if self._is_reached(change.goal, existing):
            change.over = True
        elif rejection is not None:
            self._refuse(change, detail_of(rejection))
        elif change.request is not None:
            change.awaited = "its CronJob is not there yet: is jobrelay running?"
        elif existing:
            lasts = not all(cron_job.deleting for cron_job in existing)
            await self._cancel(change, answer, lasts=lasts)
        elif change.goal is not None and (change.cancel is None or answer is not None):
            await self._publish(change, change.goal)
        else:
            # A command without an answer may still be on its way, and would cancel the new definition.
            change.awaited = "its former CronJob is gone, but cancelling it was not answered"

    def _is_reached(self, goal: Definition | None, existing: Sequence[Existing]) -> bool:
        if goal is None:
            return not existing
        differs = (cron_job.deleting or cron_job.difference(goal, self._source) for cron_job in existing)
        return bool(existing) and not any(differs)

    def _refuse(self, change: Change, detail: Mapping[str, Any]) -> None:
        """Note the refusal. If the former definition was cancelled for it, bring it back: better than nothing."""
        change.refusals.append(Progress(id=change.id, phases=[Phase.REJECTED], detail=detail))
        former = None if change.cancel is None or change.restoring else change.former
        change.goal, change.request = former, None
        change.restoring, change.over = former is not None, former is None

    async def _cancel(self, change: Change, answer: CloudEvent | None, *, lasts: bool) -> None:
        """Have what exists cancelled. `lasts`: it is not being deleted yet. `answer`: what the command got, so far."""
        if lasts and change.cancel is None:
            event = control_event(ControlVerb.CANCEL, change.id, self._source)
            change.cancel = event.get_id()
            await self._broker.publish(Topic(Kind.CONTROL), event)
        elif lasts and answer is not None and "error" in detail_of(answer):
            change.refusals.append(Progress(id=change.id, phases=["not cancelled"], detail=detail_of(answer)))
            change.over = True
        change.awaited = "its former CronJob is still there: is jobrelay running?"

    async def _publish(self, change: Change, goal: Definition) -> None:
        event = goal.event(self._source)
        change.request = event.get_id()
        try:
            await self._broker.publish(self._topic, event, message_id=event.get_id())
        except TopicRefused as error:
            self._refuse(change, {"error": {"errorCode": "NOT_PUBLISHED", "message": str(error)}})
