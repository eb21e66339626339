"""A jobrelay on NATS and RabbitMQ at the same time: requests are answered on their own broker, whatever the other does.

`make test` tests this in tests/handler/test_sources.py, and a crash of each broker in test_crashes.py.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from adapters.base import Broker, BrokerUnavailable
from tests.adapters.conftest import need_rabbit
from tests.chaos.claims import distinct
from tests.chaos.load import publish, stored
from tests.chaos.observer import Observer, observing
from tests.chaos.table import Rows
from tests.handler.relay import WHOLE
from tests.handler.samples import make_request, until
from tests.patience import PATIENCE
from tests.processes import NATS, RABBITMQ, Installation, installation

pytestmark = [pytest.mark.long, pytest.mark.broker]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The test's connection to a broker, and a subscriber."""

    broker: Broker
    observer: Observer

    def phases(self, request_id: str) -> list[str]:
        return [event.phase for event in self.observer.received() if event.subject == request_id]

    async def ended(self, request_id: str) -> None:
        async def look() -> bool:
            return self.phases(request_id)[-1:] == WHOLE[-1:]

        await until(look)


@asynccontextmanager
async def both(directory: Path) -> AsyncIterator[tuple[Installation, dict[str, Side]]]:
    need_rabbit()
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(installation(directory, brokers=[NATS, RABBITMQ]))
        sides = {}
        for name, server in here.servers.items():
            broker = await stack.enter_async_context(here.broker(name))
            await broker.declare()
            sides[name] = Side(broker=broker, observer=await stack.enter_async_context(observing(server.url)))
        async with asyncio.timeout(PATIENCE):
            await here.outlives_kill()
        yield here, sides


async def test_a_dead_broker_does_not_affect_the_other_and_is_served_again_when_it_is_back(
    tmp_path: Path, rows: Rows
) -> None:
    async with both(tmp_path) as (here, sides):
        relay = await here.start_relay()
        for name, side in sides.items():
            await publish(side.broker, make_request(f"on-{name}"))
        for name, side in sides.items():
            await side.ended(f"on-{name}")
            other = sides[NATS if name == RABBITMQ else RABBITMQ]
            assert (side.phases(f"on-{name}"), other.phases(f"on-{name}")) == (WHOLE, [])
        for dies, lives in ((RABBITMQ, NATS), (NATS, RABBITMQ)):
            await publish(sides[dies].broker, make_request(f"waits-{dies}", script="sleep 1"))
            await until(partial(_has_started, sides[dies], f"waits-{dies}"))
            await here.servers[dies].kill()
            await publish(sides[lives].broker, make_request(f"without-{dies}"))
            await sides[lives].ended(f"without-{dies}")
            assert sides[lives].phases(f"without-{dies}") == WHOLE
            await here.servers[dies].start()
            await until(partial(_stored, sides[dies], f"waits-{dies}"))
        assert relay.exit_code is None, "it needed no restart"
    done = "each killed in turn while the other serves"
    rows.add("one of two brokers killed", "nats and rabbitmq", done=done, outcome="the other one noticed nothing")


async def _has_started(side: Side, request_id: str) -> bool:
    return "started" in side.phases(request_id)


async def _stored(side: Side, request_id: str) -> bool:
    """Whether all events are in the log: a plain subscriber on NATS may not be back in time to see them.

    An event that was received may not have been confirmed when the broker died; on RabbitMQ the log then has it twice.
    """
    try:
        events = await stored(side.broker, key=f"tests.{request_id}.*")
    except BrokerUnavailable:
        return False
    return [event.phase for event in distinct(events)] == WHOLE
