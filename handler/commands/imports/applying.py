"""Has changes of definitions carried out over the broker, until the cluster shows them as wanted. Plans nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Kind, Topic, TopicRefused
from events.phases import Phase
from events.request.control import ControlVerb
from handler.commands.control import control_event
from handler.commands.imports.definitions import Definition
from handler.commands.imports.planning import Held, Step
from handler.commands.showing.progress import Progress, detail_of
from handler.commands.showing.reading import Heard, lifecycle
from k8s.background import beside
from k8s.base import Unavailable

LOOK_SECONDS = 0.5
_REFUSALS = f"*.*.{Phase.REJECTED}"
_ANSWERS = "_control.*.*"

Look = Callable[[], Awaitable[Mapping[str, Sequence[Held]]]]
"""The CronJobs of the set as they are now, by the ids of their definitions."""


@dataclass(slots=True, kw_only=True)
class Change:
    """A step on its way. `goal`: what is to be there, None for nothing. `cancel`, `request`: ids of events of ours.

    `over`: the goal is reached, or never will be. `refusals`: why it was not what was wanted. `restoring`: since then
    the goal is what was there before. `awaited`: what stands in its way.
    """

    step: Step
    goal: Definition | None
    cancel: str | None = None
    request: str | None = None
    over: bool = False
    restoring: bool = False
    refusals: list[Progress] = field(default_factory=list)
    awaited: str = "the cluster does not answer"

    @classmethod
    def of(cls, step: Step) -> "Change":
        """Before it has begun."""
        return cls(step=step, goal=step.wanted)

    @property
    def id(self) -> str:
        """That of the definition."""
        return self.step.id

    @property
    def former(self) -> Definition | None:
        """What was there before; None when nothing was, or nobody can read it."""
        data = next((one.data for one in self.step.held if not one.going), None)
        return Definition(id=self.id, data=data) if isinstance(data, dict) else None

    @property
    def left(self) -> str | None:
        """What there is instead of what was wanted; None when nothing was taken away."""
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
    tell: Callable[[Change], None],
) -> None:
    """Go on until all are over, or for so many seconds. `tell` hears of each that is over."""
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
                await applying.run(changes, look=look, tell=tell)


async def _collect(events: AsyncIterator[Heard], answers: dict[str, CloudEvent]) -> None:
    """By the id of the event that each is an answer to."""
    async for heard in events:
        answers[str(heard.event.get_extension("causationid"))] = heard.event


class _Applying:
    """Brings each change as far as the cluster lets it go."""

    def __init__(self, broker: Broker, *, answers: Mapping[str, CloudEvent], source: str, topic: Topic) -> None:
        self._broker = broker
        self._answers = answers
        self._source = source
        self._topic = topic

    async def run(self, changes: Sequence[Change], *, look: Look, tell: Callable[[Change], None]) -> None:
        """Until all are over."""
        waiting = list(changes)
        while waiting:
            with suppress(Unavailable):  # Half a change is worse than a late one.
                answers = dict(self._answers)  # Before the look: what they say is to be seen in it.
                held = await look()
                for change in waiting:
                    await self._advance(change, held.get(change.id, ()), answers)
                    if change.over:
                        tell(change)
                waiting = [change for change in waiting if not change.over]
            if waiting:
                await asyncio.sleep(LOOK_SECONDS)

    async def _advance(self, change: Change, held: Sequence[Held], answers: Mapping[str, CloudEvent]) -> None:
        request, cancel = answers.get(change.request or ""), answers.get(change.cancel or "")
        if self._is_reached(change.goal, held):
            change.over = True
        elif request is not None:
            self._refuse(change, detail_of(request))
        elif change.request is not None:
            change.awaited = "its CronJob is not there yet: is jobrelay running?"
        elif held:
            await self._clear(change, cancel, here=not all(one.going for one in held))
        elif change.goal is not None and (change.cancel is None or cancel is not None):
            await self._publish(change, change.goal)
        else:
            # A command that is not answered may be on its way still: it would hit the new one.
            change.awaited = "its former CronJob is gone, but cancelling it was not answered"

    def _is_reached(self, goal: Definition | None, held: Sequence[Held]) -> bool:
        if goal is None:
            return not held
        return bool(held) and not any(one.going or one.difference(goal, self._source) for one in held)

    def _refuse(self, change: Change, detail: Mapping[str, Any]) -> None:
        """What was there before is better than nothing."""
        change.refusals.append(Progress(id=change.id, phases=[Phase.REJECTED], detail=detail))
        former = None if change.cancel is None or change.restoring else change.former
        change.goal, change.request = former, None
        change.restoring, change.over = former is not None, former is None

    async def _clear(self, change: Change, answer: CloudEvent | None, *, here: bool) -> None:
        """Have it cancelled. `here`: it is not being deleted."""
        if here and change.cancel is None:
            event = control_event(ControlVerb.CANCEL, change.id, self._source)
            change.cancel = event.get_id()
            await self._broker.publish(Topic(Kind.CONTROL), event)
        elif here and answer is not None and "error" in detail_of(answer):
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
