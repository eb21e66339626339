"""One request more than there are calls at a time is inside: ready for its call, and never in the way of others."""

import asyncio
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.names import Annotation
from handler.intake import slots
from k8s.api.cluster import Cluster
from tests.handler.intake.sick import Sick
from tests.handler.relay import Client, running
from tests.handler.samples import make_request, until

LANES = {name: Topic(Kind.REQUESTS, name) for name in ("high", "", "low")}


class Calls:
    """Holds each create back until `go`; `made` are the ids of those that have begun."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.most = 0
        self._under_way = 0
        self.go = asyncio.Event()

    async def treat(self, manifest: Any) -> None:
        self.made.append(manifest["metadata"]["annotations"][Annotation.ID])
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            await self.go.wait()
        finally:
            self._under_way -= 1

    async def begun(self, count: int) -> None:
        """Wait until so many have begun, and are all."""

        async def look() -> bool:
            return len(self.made) >= count

        await until(look)
        assert len(self.made) == count


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def sick(cluster: Cluster, calls: Calls) -> Any:
    sick = Sick(cluster)
    sick.treat = calls.treat
    return sick


async def publish(client: Client, request: CloudEvent, lane: str = "") -> None:
    await client.broker.publish(LANES[lane], request)


async def unsettled(broker: MemoryBroker, count: int) -> None:
    """Wait until so many requests are inside."""

    async def look() -> bool:
        return (
            sum(depth.unsettled for topic, depth in (await broker.depth()).items() if topic in LANES.values()) == count
        )

    await until(look)


async def test_the_next_request_is_inside_during_a_call_and_calls_are_bounded_all_the_same(
    broker: MemoryBroker, sick: Any, calls: Calls
) -> None:
    async with running(broker, sick, concurrency=2) as client:
        names = [f"r{number}" for number in range(8)]
        await client.publish(*(make_request(name, service=name) for name in names))
        await unsettled(broker, 3)
        await calls.begun(2)
        calls.go.set()
        await asyncio.gather(*(client.ended(name) for name in names))
        assert calls.most == 2


async def test_an_urgent_request_waits_for_no_more_than_the_one_that_is_ready(
    broker: MemoryBroker, sick: Any, calls: Calls
) -> None:
    async with running(broker, sick, concurrency=1) as client:
        for number in range(6):
            await publish(client, make_request(f"slow-{number}"), "low")
        await unsettled(broker, 2)
        await publish(client, make_request("urgent"), "high")
        calls.go.set()
        await client.ended("urgent")
        assert calls.made.index("urgent") == 2


async def test_behind_a_call_that_hangs_it_goes_back_without_an_attempt(
    broker: MemoryBroker, sick: Any, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "STUCK_SECONDS", 0.1)
    monkeypatch.setattr(slots, "SLOW_SECONDS", 0.05)
    async with running(broker, sick, concurrency=1, max_attempts=1) as client:
        await client.publish(make_request("hangs"), make_request("next"))

        def given_back() -> float:
            labels = {"broker": "memory", "reason": "hanging"}
            return client.state.metrics.registry.get_sample_value("jobrelay_messages_deferred_total", labels) or 0.0

        async def look() -> bool:
            return given_back() >= 3

        await until(look)
        assert calls.made == ["hangs"]
        calls.go.set()
        # With a single attempt: none was counted.
        await client.ended("next")
        assert await client.dead() == []
