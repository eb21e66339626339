"""While a broker takes nothing, the log has a few lines, however many Jobs have something to tell."""

import logging

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.memory import MemoryBroker
from handler.links import looks
from handler.telemetry import outages
from k8s.api.cluster import Cluster
from tests.handler.relay import WHOLE, running
from tests.handler.samples import make_request, until

MANY = 20


class Leaderless(MemoryBroker):
    """While `down`, its log of lifecycle events has no quorum, and everything else is as it was."""

    down = False

    async def publish(self, topic: Topic, event: CloudEvent, *, message_id: str | None = None) -> None:
        if self.down and topic.kind is Kind.LIFECYCLE:
            raise BrokerUnavailable("no quorum for stream JOBRELAY_LIFECYCLE")
        await super().publish(topic, event, message_id=message_id)

    async def probe(self) -> None:
        if self.down:
            raise BrokerUnavailable("no quorum for stream JOBRELAY_LIFECYCLE")


async def test_an_outage_is_told_once_for_all_jobs_that_wait_and_once_when_it_is_over(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(looks, "LOOK_SECONDS", 0.1)
    broker = Leaderless()
    async with running(broker, cluster) as client:
        metrics = client.state.metrics.registry

        async def waiting(count: int) -> bool:
            return metrics.get_sample_value("jobrelay_events_waiting", {"broker": "memory"}) == count

        async def ready() -> bool:
            return not client.state.problems()

        await until(ready)
        caplog.clear()
        caplog.set_level(logging.INFO)
        broker.down = True
        wrong = make_request("wrong", webhook="https://example.com")
        await client.publish(*(make_request(f"r-{number}") for number in range(MANY)), wrong)
        await until(lambda: waiting(MANY + 1))
        assert client.state.problems() == ["broker memory: no quorum for stream JOBRELAY_LIFECYCLE"]

        async def told() -> bool:
            return any(record.name == outages.__name__ for record in caplog.records)

        await until(told)
        broker.down = False
        for number in range(MANY):
            await client.ended(f"r-{number}")
        assert await client.phases("r-0") == WHOLE
        await client.reached("wrong", "rejected")
        await until(lambda: waiting(0))

        async def over() -> bool:
            return "broker memory: takes everything again" in caplog.messages

        await until(over)
        (warning,) = [
            record.getMessage()
            for record in caplog.records
            if record.levelno >= logging.WARNING and record.name.startswith("handler.")
        ]
        assert warning.startswith("broker memory: no quorum for stream JOBRELAY_LIFECYCLE (events that wait: ")
