"""A running jobrelay in this process, and what a client sees of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Record, Topic
from adapters.memory import MemoryBroker
from events.cloudevent.event import decode_structured
from events.phases import TERMINAL
from handler.app import App
from handler.links.link import Connect
from handler.settings.connections import namespaces_of
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from handler.telemetry.tracing import OFF, Tracing
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError
from k8s.election.lease import prepare_lease
from tests.handler.samples import make_request, until, waits_for
from tests.patience import PATIENCE

WHOLE = ["created", "started", "succeeded"]
"""The phases of a request that runs once and succeeds."""
FAST = {"lease_seconds": 60, "lease_renew_seconds": 40, "lease_retry_seconds": 0.2, "lease_call_seconds": 10}
"""A busy machine loses no Lease."""


# A test that waits for an event decodes all of them again and again.
_decoded = lru_cache(maxsize=4096)(decode_structured)


class Client:
    """Publishes requests and reads what comes back."""

    def __init__(self, broker: MemoryBroker, state: State) -> None:
        self.broker = broker
        self.state = state

    async def publish(self, *events: CloudEvent) -> None:
        for event in events:
            await self.broker.publish(Topic(Kind.REQUESTS), event, message_id=str(uuid.uuid4()))

    async def command(self, event: CloudEvent) -> None:
        await self.broker.publish(Topic(Kind.CONTROL), event)

    async def occupied(self, until_there: Path, **fields: Any) -> None:
        """Publish a request `busy` that runs until this file exists, and wait until it has started."""
        await self.publish(make_request("busy", script=waits_for(until_there), **fields))
        await self.reached("busy", "started")

    async def queued(self, request: CloudEvent) -> None:
        """Publish a request, and wait until it is queued."""
        data: Any = request.get_data()
        await self.publish(request)
        await self.reached(data["id"], "queued")

    async def events(self, request_id: str) -> list[CloudEvent]:
        """Every lifecycle event of this request so far, in order of arrival."""
        decoded = [_decoded(record.body) for record in await self._stored(Kind.LIFECYCLE)]
        return [event for event in decoded if event.get_subject() == request_id]

    async def phases(self, request_id: str) -> list[str]:
        return [phase_of(event) for event in await self.events(request_id)]

    async def ended(self, request_id: str, *, seconds: float = PATIENCE) -> CloudEvent:
        """The terminal event, once it is there."""

        async def look() -> CloudEvent | None:
            found = [event for event in await self.events(request_id) if phase_of(event) in TERMINAL]
            return found[0] if found else None

        return await until(look, seconds=seconds)

    async def reached(self, request_id: str, phase: str, *, seconds: float = PATIENCE) -> CloudEvent:
        """The first event of this phase, once it is there."""

        async def look() -> CloudEvent | None:
            found = [event for event in await self.events(request_id) if phase_of(event) == phase]
            return found[0] if found else None

        return await until(look, seconds=seconds)

    async def dead(self) -> list[Record]:
        return await self._stored(Kind.DEAD)

    async def dead_letters(self, count: int) -> list[Record]:
        """All dead letters, once there are at least `count`."""

        async def look() -> list[Record] | None:
            found = await self.dead()
            return found if len(found) >= count else None

        return await until(look)

    async def _stored(self, kind: Kind) -> list[Record]:
        async with self.broker.history(kind) as records:
            return [record async for record in records]


@asynccontextmanager
async def running(
    broker: MemoryBroker, cluster: Cluster, *, tracing: Tracing = OFF, **settings: Any
) -> AsyncIterator[Client]:
    """jobrelay with role `both` and this broker, until the block ends."""
    async with relaying(connected(broker), cluster, tracing=tracing, **settings) as state:
        yield Client(broker, state)


def connected(*brokers: MemoryBroker) -> dict[str, Connect]:
    """These brokers as the sources of a relay."""

    def connecting(broker: MemoryBroker) -> Connect:
        return lambda: nullcontext(broker)

    return {broker.name: connecting(broker) for broker in brokers}


@asynccontextmanager
async def relaying(
    sources: Mapping[str, Connect], cluster: Cluster, *, tracing: Tracing = OFF, **settings: Any
) -> AsyncIterator[State]:
    """jobrelay with these brokers, until the block ends."""
    chosen = Settings(**FAST | {"ttl_seconds": 300, "dedup_seconds": 300} | settings)
    state = State(Metrics(), follows=chosen.follows)
    state.cluster = cluster
    stop = asyncio.Event()
    if chosen.follows:
        try:
            await prepare_lease(cluster, namespace=namespaces_of(chosen, cluster)[0], name=chosen.instance)
        except KubernetesError:
            # The test begins without an API server, and its first leader waits for as long as its Lease lasts.
            chosen = chosen.model_copy(update={"lease_seconds": 5, "lease_renew_seconds": 4, "lease_call_seconds": 3})
    async with asyncio.TaskGroup() as group:
        app = App(chosen, cluster=cluster, sources=sources, state=state, tracing=tracing)
        group.create_task(app.run(stop))
        try:
            yield state
        finally:
            stop.set()


def phase_of(event: CloudEvent) -> str:
    """The last word of its type: a phase, or what became of a control event."""
    return event.get_type().rpartition(".")[2]


def detail(event: CloudEvent) -> dict[str, Any]:
    data: Any = event.get_data()
    found: dict[str, Any] = data["detail"]
    return found


def code_of(event: CloudEvent) -> str:
    code: str = detail(event)["error"]["errorCode"]
    return code
