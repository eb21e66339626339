"""An adapter alone, in this process: the cost of storing an event, and of consuming and acknowledging it."""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Kind, Topic
from adapters.connect import connect
from events.cloudevent.event import decode_structured
from tests.bench.load.events import IDLE, IN_FLIGHT, make_events, many
from tests.e2e.site import Site, until

SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Events a second, and CPU seconds per event."""

    rate: float
    cpu: float

    @classmethod
    def median(cls, paces: "list[Pace]") -> Self:
        return cls(
            rate=statistics.median(pace.rate for pace in paces), cpu=statistics.median(pace.cpu for pace in paces)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """`publish`: until confirmed. `consume`: until the last acknowledgement is sent."""

    publish: Pace
    consume: Pace


async def alone(site: Site, *, count: int, rounds: int) -> Alone:
    """Measured with events of about 1 kB, 64 in flight."""
    events = [decode_structured(body) for body in make_events(count, command=IDLE, image=site.image)]
    published, consumed = [], []
    for _ in range(rounds):
        async with connect(site.source, instance=site.new_instance()) as broker:
            await broker.declare()
            published.append(await _paced(count, partial(_publish, broker, events)))
            consumed.append(await _paced(count, partial(_consume, broker, count)))
            await until(partial(_empty, broker), seconds=SECONDS)
    return Alone(publish=Pace.median(published), consume=Pace.median(consumed))


async def _paced(count: int, work: Callable[[], Awaitable[None]]) -> Pace:
    begun, cpu = time.perf_counter(), time.process_time()
    await work()
    return Pace(rate=count / (time.perf_counter() - begun), cpu=(time.process_time() - cpu) / count)


async def _publish(broker: Broker, events: list[CloudEvent]) -> None:
    await many(lambda event: broker.publish(Topic(Kind.REQUESTS), event), events, in_flight=IN_FLIGHT)


async def _consume(broker: Broker, count: int) -> None:
    async with broker.subscribe(Kind.REQUESTS, prefetch=IN_FLIGHT) as subscription:
        taken = 0
        async for delivery in subscription:
            delivery.event()
            await delivery.ack()
            taken += 1
            if taken == count:
                return


async def _empty(broker: Broker) -> bool:
    """Whether the broker has received every acknowledgement."""
    depth = (await broker.depth())[Topic(Kind.REQUESTS)]
    return (depth.ready, depth.unsettled) == (0, 0)
