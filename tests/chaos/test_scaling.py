"""Handlers are scaled as KEDA would, by the broker's numbers, and meanwhile the controller reports about Jobs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.base import Kind, Topic
from k8s.background import beside
from tests.amqp import client
from tests.chaos.fleet import Fleet
from tests.chaos.load import INLINE, Journal, Load, Stage, account, quiet, stage, stored
from tests.chaos.scaler import JetStreamReadings, RabbitReadings, Readings, ScaledObject, Scaler, Trigger
from tests.chaos.table import Rows
from tests.handler.samples import make_request, until
from tests.long import LONG
from tests.processes import NATS, RABBITMQ

# Only the long form uses each broker.
BROKERS = (NATS, RABBITMQ) if LONG else (NATS,)
# `make test` checks the shipped objects below and in tests/k8s/deploy, and stops handlers under load in tests/e2e.
MARKS = [pytest.mark.long, pytest.mark.broker, pytest.mark.timeout(600 if LONG else 300)]

REQUESTS = 200 if LONG else 40
PATIENCE = 240.0 if LONG else 150.0
MESSAGES = 700
"""More than two handlers' share by the shipped thresholds."""
PACE = 120.0
"""How much faster time passes for the scaler, and only for it: minutes become seconds."""
LOOK_SECONDS = 0.1
LASTING = 4
ON_TIME = 2.0
"""Seconds from a container's end to its event, of which the development cluster needs up to one."""
MONITORED = 'http: "127.0.0.1:-1"'


class Autoscaled:
    """Handlers, as many as the scaler wants."""

    def __init__(self, fleet: Fleet, readings: Readings, scaled: ScaledObject, journal: Journal) -> None:
        self._fleet = fleet
        self._readings = readings
        self._scaled = scaled
        self._journal = journal
        self._scaler = Scaler(scaled)
        self.codes: list[int] = []
        self.most = 0

    @property
    def handlers(self) -> list[str]:
        return [name for name in self._fleet.members if name.startswith("handler")]

    async def run(self) -> None:
        """Read the numbers and scale, for ever."""
        while True:
            readings = await self._readings(self._scaled.triggers)
            current = len(self.handlers)
            wanted = self._scaler.desired(current, readings, now=time.monotonic() * PACE)
            if wanted != current:
                self._journal.note(f"{current} → {wanted} handlers at {readings} messages")
                await self._scale(wanted)
            await asyncio.sleep(max(LOOK_SECONDS, self._scaled.polling / PACE))

    async def _scale(self, wanted: int) -> None:
        names = self.handlers
        spare = [name for number in range(wanted) if (name := f"handler-{number}") not in names]
        await self._fleet.start(*spare[: max(0, wanted - len(names))], wait=False)
        self.codes += await asyncio.gather(*(self._fleet.end(name) for name in names[wanted:]))
        self.most = max(self.most, wanted)

    async def number(self, count: int) -> None:
        """Wait until there are `count` handlers."""

        async def look() -> bool:
            return len(self.handlers) == count

        await until(look, seconds=PATIENCE)


@asynccontextmanager
async def readings_of(on: Stage) -> AsyncIterator[Readings]:
    if on.broker.name == RABBITMQ:
        async with client(on.here.rabbit.url) as connected:
            yield RabbitReadings(connected)
    else:
        async with aiohttp.ClientSession() as session:
            yield JetStreamReadings(session, on.here.nats)


@pytest.mark.parametrize("broker", [pytest.param(name, marks=MARKS) for name in BROKERS], indirect=True)
async def test_handlers_go_from_0_to_3_to_0_while_jobs_run_and_all_is_reported_on_time(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    scaled = ScaledObject.shipped(broker)
    journal = Journal(f"{broker}: handlers by the shipped ScaledObject, {PACE:g} times as fast, {REQUESTS} requests")
    load, lasting = Load(tmp_path, count=REQUESTS), Lasting(tmp_path)
    lasting.join(load)
    async with stage(tmp_path, broker=broker, nats=MONITORED) as on, readings_of(on) as readings:
        fleet = Fleet(on.here, INLINE)
        await fleet.start("controller-1")
        await burst(on, load)
        scaling = Autoscaled(fleet, readings, scaled, journal)
        async with beside(scaling.run()):
            await scaling.number(3)
            await scaling.number(0)
            # Reported by the controller, which may have had much to report before.
            await until(lambda: lasting.run_on(on), seconds=PATIENCE)
            journal.note(f"no handler; {len(on.observer.ended())} requests have ended, {LASTING} Jobs run")
            late = await lasting.end(on)
            journal.note(f"their ends were published {min(late):.2f} to {max(late):.2f} s later")
            assert max(late) <= ON_TIME
            assert not scaling.handlers, "no handler was needed for that"
            # A single message starts the first handler.
            await on.broker.publish(Topic(Kind.REQUESTS), load.requests[-1], message_id="once more")
            await scaling.number(1)
            await scaling.number(0)
        assert 3 <= scaling.most <= scaled.maximum
        assert set(scaling.codes) == {0}
        await quiet(on, load, seconds=PATIENCE)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
    done = f"0 → {scaling.most} → 0 → 1 → 0 by the shipped ScaledObject; {MESSAGES} messages for {len(load.jobs)} Jobs"
    rows.add("handlers scaled", broker, done=done, outcome=f"no handler: ends told within {max(late):.1f} s")


class Lasting:
    """Jobs that end when the test lets them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._go = directory / "go"
        self.names = {f"r-lasting-{number}" for number in range(LASTING)}

    def join(self, load: Load) -> None:
        """Add these Jobs to a load."""
        for name in sorted(self.names):
            wait = f'until test -e "{self._go}"; do sleep 0.1; done'
            script = f'echo {name} >> "{load.runs_file}"; {wait}; date +%s.%N > "{self._directory}/{name}.end"'
            load.requests.append(make_request(name, script=script))
            load.expect(name, runs=1, end="succeeded")

    async def run_on(self, on: Stage) -> bool:
        """Whether the start of each is published, and the end of none."""
        started = {event.subject for event in on.observer.received() if event.phase == "started"}
        return self.names <= started - on.observer.ended()

    async def end(self, on: Stage) -> list[float]:
        """Let them end. Returns for each how many seconds after its end the event arrived."""
        self._go.touch()
        arrived: dict[str, float] = {}

        async def look() -> bool:
            arrived.update({name: time.time() for name in self.names & on.observer.ended() - arrived.keys()})
            return len(arrived) == LASTING

        await until(look)
        return [at - float((self._directory / f"{name}.end").read_text()) for name, at in arrived.items()]


async def burst(on: Stage, load: Load) -> None:
    """Publish all requests at once, and repeat the valid requests: a repeat is cheap, and runs no container."""
    valid = [event for event in load.requests if event.get_id().removeprefix("event-") in load.jobs]
    repeats = [(valid[number % len(valid)], f"again-{number}") for number in range(MESSAGES - len(load.requests))]
    async with asyncio.TaskGroup() as group:
        for event, message_id in [*((event, None) for event in load.requests), *repeats]:
            group.create_task(on.broker.publish(Topic(Kind.REQUESTS), event, message_id=message_id))


# The formulas


def make_scaled(**given: Any) -> ScaledObject:
    trigger = Trigger(metadata={}, threshold=10, activation=0)
    usual = {"polling": 5, "cooldown": 60, "stabilization": 30, "minimum": 0, "maximum": 4}
    return ScaledObject(**{"triggers": (trigger, trigger), **usual, **given})


def test_the_largest_trigger_decides_and_any_trigger_starts_the_first_replica() -> None:
    scaler = Scaler(make_scaled())
    assert scaler.desired(0, [0, 0], now=0) == 0
    assert scaler.desired(0, [0, 1], now=1) == 1
    assert scaler.desired(1, [25, 11], now=2) == 3
    assert scaler.desired(3, [500, 0], now=3) == 4


def test_a_small_difference_is_ignored() -> None:
    assert Scaler(make_scaled()).desired(2, [21, 0], now=0) == 2


def test_replicas_are_removed_after_the_window_and_all_of_them_after_the_cooldown() -> None:
    scaler = Scaler(make_scaled())
    assert scaler.desired(1, [30, 0], now=0) == 3
    assert scaler.desired(3, [1, 0], now=20) == 3
    assert scaler.desired(3, [1, 0], now=31) == 1
    assert scaler.desired(1, [0, 0], now=90) == 1
    assert scaler.desired(1, [0, 0], now=92) == 0


def test_up_to_the_activation_value_no_replica_is_started() -> None:
    scaler = Scaler(make_scaled(triggers=(Trigger(metadata={}, threshold=10, activation=5),)))
    assert [scaler.desired(0, [count], now=0) for count in (5, 6)] == [0, 1]


@pytest.mark.parametrize("broker", [NATS, RABBITMQ])
def test_the_shipped_object_watches_each_lane_and_leaves_no_message_waiting(broker: str) -> None:
    scaled = ScaledObject.shipped(broker)
    names = {trigger.metadata.get("consumer") or trigger.metadata["queueName"] for trigger in scaled.triggers}
    lanes = {NATS: "jobrelay-{}", RABBITMQ: "jobrelay.requests.{}"}[broker]
    normal = {NATS: "jobrelay-normal", RABBITMQ: "jobrelay.requests"}[broker]
    assert names == {lanes.format("high"), normal, lanes.format("low")}
    assert {trigger.activation for trigger in scaled.triggers} == {0}
    assert (scaled.minimum, scaled.maximum >= 3) == (0, True)
