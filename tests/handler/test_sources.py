"""Several brokers at once: each request is answered on its own broker, and does not wait for another broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.base import BrokerUnavailable
from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from tests.handler.relay import Client, connected, detail, relaying
from tests.handler.samples import make_command, make_request, until


def make_broker(name: str) -> MemoryBroker:
    broker = MemoryBroker()
    broker.name = name
    return broker


async def test_each_request_is_answered_on_the_broker_it_came_from(cluster: Cluster) -> None:
    brokers = make_broker("one"), make_broker("two")
    async with relaying(connected(*brokers), cluster) as state:
        first, second = (Client(broker, state) for broker in brokers)
        await first.publish(make_request("a"))
        await second.publish(make_request("b"), make_request("c", script="sleep 600"))
        await first.ended("a")
        await second.ended("b")
        await second.publish(make_request("d", webhook="https://example.com"))
        await second.reached("d", "rejected")
        await second.command(make_command("cancel", "c"))
        assert detail(await second.ended("c"))["error"]["errorCode"] == "CANCELLED"
        assert await first.phases("a") == ["created", "started", "succeeded"]
        assert await second.phases("b") == ["created", "started", "succeeded"]
        assert await second.phases("a") == await first.phases("b") == await first.phases("c") == []
        assert await first.phases("d") == []


async def test_a_command_may_come_from_another_broker_than_its_request(cluster: Cluster) -> None:
    brokers = make_broker("one"), make_broker("two")
    async with relaying(connected(*brokers), cluster) as state:
        first, second = (Client(broker, state) for broker in brokers)
        await first.publish(make_request("a", script="sleep 600"))
        await first.reached("a", "started")
        await second.command(make_command("cancel", "a"))
        await first.ended("a")
        (answer,) = await second.events("command-1")
        assert answer.get_type() == "dev.jobrelay.control.accepted"


async def test_events_of_a_broker_no_longer_configured_go_to_the_default_broker(cluster: Cluster) -> None:
    gone, kept = make_broker("gone"), make_broker("kept")
    async with relaying(connected(gone), cluster) as state:
        client = Client(gone, state)
        await client.publish(make_request("a", script="sleep 2"))
        await client.reached("a", "started")
    async with relaying(connected(kept), cluster) as state:
        assert (await Client(kept, state).phases("a")) in ([], ["created"], ["created", "started"])
        await Client(kept, state).ended("a")


async def test_a_broker_that_does_not_answer_holds_up_its_own_requests_only(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handler.effects.repeating.backoff", lambda attempt, **_: 0.05)
    here, away = make_broker("here"), make_broker("away")
    there = False

    @asynccontextmanager
    async def later() -> AsyncIterator[MemoryBroker]:
        if not there:
            raise BrokerUnavailable("nobody listens")
        yield away

    async with relaying({"away": later, **connected(here)}, cluster) as state:
        await Client(here, state).publish(make_request("a"))
        await Client(here, state).ended("a")
        assert "broker away: never connected so far: nobody listens" in state.problems()
        await Client(away, state).publish(make_request("b"))
        there = True
        await Client(away, state).ended("b")

        async def ready() -> bool:
            return not state.problems()

        await until(ready)
