"""How `jobrelay import` has changes carried out: what it publishes when, and what it does with the answers.

These tests play jobrelay, to do what the real process rarely does; test_importing.py runs the real process.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker, connect
from events.identity import lifecycle_key
from events.lifecycle.events import rejected_event
from events.phases import Phase
from events.request.control import accepted, control_key, parse_control, refused
from handler.commands.imports import applying
from handler.commands.imports.applying import Change, carry_out
from handler.commands.imports.definitions import Definition
from handler.commands.imports.planning import Action, Existing, Step
from k8s.base import Unavailable
from tests.handler.samples import until
from tests.patience import PATIENCE

SOURCE = "/set"
OLD = Definition(id="a", data={"id": "a", "schedule": "@daily"})
NEW = Definition(id="a", data={"id": "a", "schedule": "@hourly"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "LOOK_SECONDS", 0.01)


def in_force(definition: Definition, *, deleting: bool = False) -> Existing:
    return Existing(
        id=definition.id, name=f"default/{definition.id}", deleting=deleting, sha=None, data=definition.data
    )


class Scene:
    """A cluster and a jobrelay that do what the test says. `orders`: the published requests and commands."""

    def __init__(self, broker: MemoryBroker, *present: Existing) -> None:
        self.broker = broker
        self.there: dict[str, list[Existing]] = {definition.id: [definition] for definition in present}
        self.orders: list[CloudEvent] = []
        self.away = 0
        self.looks = 0

    async def look(self) -> Mapping[str, Sequence[Existing]]:
        self.looks += 1
        if self.away:
            self.away -= 1
            raise Unavailable("not now")
        return {name: list(found) for name, found in self.there.items()}

    async def looked(self) -> None:
        """Return once the import has read the cluster anew, and acted on what it read."""
        enough = self.looks + 2

        async def look() -> bool:
            return self.looks >= enough

        await until(look)

    async def listen(self, kind: Kind) -> None:
        async with self.broker.subscribe(kind, prefetch=10) as subscription:
            async for delivery in subscription:
                self.orders.append(delivery.event())
                await delivery.ack()

    async def order(self, number: int) -> CloudEvent:
        async def look() -> CloudEvent | None:
            return self.orders[number] if len(self.orders) > number else None

        return await until(look)

    async def accept(self, event: CloudEvent) -> None:
        answer = accepted(parse_control(event), instance="jobrelay", jobs=["a"], source="/x")
        await self.broker.publish(Topic(Kind.LIFECYCLE, control_key(event.get_id(), "accepted")), answer)

    async def refuse(self, event: CloudEvent, code: str) -> None:
        answer = refused(parse_control(event), instance="jobrelay", code=code, message="no")
        await self.broker.publish(Topic(Kind.LIFECYCLE, control_key(event.get_id(), "rejected")), answer)

    async def reject(self, event: CloudEvent) -> None:
        answer = rejected_event(
            instance="jobrelay",
            event_attributes=event.get_attributes(),
            code="FORBIDDEN",
            message="no",
            fields=[],
            replays=0,
            service=None,
            request_id="a",
        )
        await self.broker.publish(Topic(Kind.LIFECYCLE, lifecycle_key(None, "a", Phase.REJECTED)), answer)


class Outcome:
    """What becomes of changes that are being carried out. `reported`: ids of changes that are done, in order."""

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes
        self.reported: list[str] = []
        self.task: asyncio.Task[None] | None = None

    async def end(self) -> Change:
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), PATIENCE)
        return self.changes[0]


@asynccontextmanager
async def carrying_out(scene: Scene, *steps: Step, seconds: float = PATIENCE) -> AsyncIterator[Outcome]:
    outcome = Outcome([Change.of(step) for step in steps])
    async with asyncio.TaskGroup() as group:
        listening = [group.create_task(scene.listen(kind)) for kind in (Kind.REQUESTS, Kind.CONTROL)]
        work = carry_out(
            scene.broker,
            outcome.changes,
            look=scene.look,
            source=SOURCE,
            lane="",
            seconds=seconds,
            report=lambda change: outcome.reported.append(change.id),
        )
        outcome.task = group.create_task(work)
        yield outcome
        for task in listening:
            task.cancel()


def step(action: Action, *present: Existing, wanted: Definition | None = NEW) -> Step:
    return Step(action=action, id="a", wanted=wanted, existing=present)


def data_of(event: CloudEvent) -> Any:
    return event.get_data()


async def test_a_new_definition_is_published_and_awaited(broker: MemoryBroker) -> None:
    scene = Scene(broker)
    async with carrying_out(scene, step(Action.CREATE)) as outcome:
        request = await scene.order(0)
        assert (data_of(request), request.get_source()) == (NEW.data, SOURCE)
        assert outcome.reported == []
        scene.there["a"] = [in_force(NEW)]
        change = await outcome.end()
    assert (change.over, change.refusals, outcome.reported) == (True, [], ["a"])
    assert len(scene.orders) == 1


async def test_a_definition_is_removed_by_a_command_that_names_its_source(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(OLD))
    async with carrying_out(scene, step(Action.REMOVE, in_force(OLD), wanted=None)) as outcome:
        command = parse_control(await scene.order(0))
        assert (command.verb, command.subject, command.request_source) == ("cancel", "a", SOURCE)
        scene.there["a"] = [in_force(OLD, deleting=True)]
        await scene.looked()
        assert outcome.reported == []
        del scene.there["a"]
        await outcome.end()
    assert outcome.reported == ["a"]
    assert len(scene.orders) == 1


async def test_an_update_publishes_the_new_definition_once_the_old_is_gone_and_its_command_answered(
    broker: MemoryBroker,
) -> None:
    scene = Scene(broker, in_force(OLD))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD))) as outcome:
        command = await scene.order(0)
        del scene.there["a"]
        await scene.looked()
        assert len(scene.orders) == 1
        assert "was not answered" in outcome.changes[0].awaited
        await scene.accept(command)
        assert data_of(await scene.order(1)) == NEW.data
        scene.there["a"] = [in_force(NEW)]
        change = await outcome.end()
    assert (change.refusals, change.left) == ([], None)


async def test_a_deletion_from_outside_is_awaited_without_a_command(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(OLD, deleting=True))
    async with carrying_out(scene, step(Action.CREATE, in_force(OLD, deleting=True))) as outcome:
        await scene.looked()
        assert scene.orders == []
        del scene.there["a"]
        assert data_of(await scene.order(0)) == NEW.data
        scene.there["a"] = [in_force(NEW)]
        await outcome.end()


async def test_a_change_made_from_outside_meanwhile_counts_as_done(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(NEW))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD))) as outcome:
        await outcome.end()
    assert scene.orders == []


async def test_after_a_refused_update_the_former_definition_is_restored(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(OLD))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD))) as outcome:
        await scene.accept(await scene.order(0))
        del scene.there["a"]
        await scene.reject(await scene.order(1))
        assert data_of(await scene.order(2)) == OLD.data
        scene.there["a"] = [in_force(OLD)]
        change = await outcome.end()
    assert [refusal.phase for refusal in change.refusals] == ["rejected"]
    assert change.left == "its former definition is in force again"


async def test_if_restoring_is_refused_too_the_change_says_that_nothing_is_left(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(OLD))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD))) as outcome:
        await scene.accept(await scene.order(0))
        del scene.there["a"]
        await scene.reject(await scene.order(1))
        await scene.reject(await scene.order(2))
        change = await outcome.end()
    assert len(change.refusals) == 2
    assert change.left == "its former definition is cancelled, and nothing is in its place"


async def test_an_unreadable_former_definition_cannot_be_restored(broker: MemoryBroker) -> None:
    unreadable = replace(in_force(OLD), data=None)
    scene = Scene(broker, unreadable)
    async with carrying_out(scene, step(Action.UPDATE, unreadable)) as outcome:
        await scene.accept(await scene.order(0))
        del scene.there["a"]
        await scene.reject(await scene.order(1))
        change = await outcome.end()
    assert change.left == "its former definition is cancelled, and nothing is in its place"


async def test_a_refused_new_definition_leaves_everything_as_it_was(broker: MemoryBroker) -> None:
    scene = Scene(broker)
    async with carrying_out(scene, step(Action.CREATE)) as outcome:
        await scene.reject(await scene.order(0))
        change = await outcome.end()
    assert (len(change.refusals), change.left) == (1, None)


@pytest.mark.parametrize("code", ["NEWER_FORMAT", "FINISHED", "UNKNOWN"])
async def test_a_definition_that_may_not_be_cancelled_stays(broker: MemoryBroker, code: str) -> None:
    scene = Scene(broker, in_force(OLD))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD))) as outcome:
        await scene.refuse(await scene.order(0), code)
        change = await outcome.end()
    assert [refusal.phase for refusal in change.refusals] == ["not cancelled"]
    assert change.left is None


async def test_a_refusal_to_cancel_what_is_gone_counts_as_an_answer(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(OLD))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD))) as outcome:
        command = await scene.order(0)
        del scene.there["a"]
        await scene.refuse(command, "FINISHED")
        assert data_of(await scene.order(1)) == NEW.data
        scene.there["a"] = [in_force(NEW)]
        change = await outcome.end()
    assert change.refusals == []


async def test_a_change_not_done_in_time_says_what_it_waits_for(broker: MemoryBroker) -> None:
    scene = Scene(broker, in_force(OLD))
    other = Step(action=Action.CREATE, id="b", wanted=Definition(id="b", data={"id": "b"}))
    async with carrying_out(scene, step(Action.UPDATE, in_force(OLD)), other, seconds=1) as outcome:
        await outcome.end()
    first, second = outcome.changes
    assert not first.over
    assert "its former CronJob is still there" in first.awaited
    assert not second.over
    assert "its CronJob is not there yet" in second.awaited


async def test_a_cluster_that_is_unavailable_for_a_moment_stops_nothing(broker: MemoryBroker) -> None:
    scene = Scene(broker)
    scene.away = 3
    async with carrying_out(scene, step(Action.CREATE)) as outcome:
        await scene.order(0)
        scene.away = 3
        scene.there["a"] = [in_force(NEW)]
        await outcome.end()
    assert outcome.reported == ["a"]


async def test_a_request_that_the_broker_refuses_is_a_refusal() -> None:
    async with connect(max_payload=17_000) as broker:
        await broker.declare()
        large = replace(NEW, data={**NEW.data, "metadata": {"text": "x" * 2000}})
        async with carrying_out(Scene(broker), step(Action.CREATE, wanted=large)) as outcome:
            change = await outcome.end()
    assert change.refusals[0].detail["error"]["errorCode"] == "NOT_PUBLISHED"


async def test_answers_to_other_requests_are_ignored(broker: MemoryBroker) -> None:
    scene = Scene(broker)
    async with carrying_out(scene, step(Action.CREATE)) as outcome:
        await scene.order(0)
        await scene.reject(NEW.event(SOURCE))
        await scene.looked()
        assert not outcome.changes[0].over
        scene.there["a"] = [in_force(NEW)]
        change = await outcome.end()
    assert change.refusals == []
