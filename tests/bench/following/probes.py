"""How soon the end of a Job is told: a few Jobs are ended, and only their terminal events are listened to."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import orjson
from nats.aio.msg import Msg

from events.phases import Phase
from k8s.base import Manifest
from tests.bench.load.events import IDLE, make_events
from tests.bench.load.jobs import Jobs
from tests.bench.load.relays import LONG
from tests.e2e.site import Site

SERVICE = "probe"
"""Of the Jobs that are listened to."""
PAUSE = 0.02
"""Seconds before each is ended: without load, all that was before has arrived by then."""


class Probes:
    """Hears of the ends of Jobs of the service `SERVICE`, by the ids of their requests."""

    def __init__(self) -> None:
        self._ends: dict[str, asyncio.Future[float]] = {}

    async def take(self, message: Msg) -> None:
        arrived = time.perf_counter()
        end = self._end(orjson.loads(message.data)["data"]["id"])
        if not end.done():
            end.set_result(arrived)

    async def arrival(self, request_id: str) -> float:
        """When its terminal event was here, by `time.perf_counter`; returns once it is."""
        return await asyncio.wait_for(asyncio.shield(self._end(request_id)), LONG)

    def _end(self, request_id: str) -> asyncio.Future[float]:
        return self._ends.setdefault(request_id, asyncio.get_running_loop().create_future())


@asynccontextmanager
async def probing(site: Site, instance: str) -> AsyncIterator[Probes]:
    """NATS sends no other events here: with thousands a second, reading them would be what is measured."""
    probes = Probes()
    client = await nats.connect(site.source)
    try:
        await client.subscribe(f"{instance}.lifecycle.{SERVICE}.*.{Phase.SUCCEEDED}", cb=probes.take)
        await client.flush()
        yield probes
    finally:
        await client.close()


def make_probes(site: Site, count: int) -> list[bytes]:
    """Events of Jobs that end only when somebody ends them: requests `probe-0`, `probe-1` and so on."""
    return make_events(count, command=IDLE, image=site.image, name=SERVICE, fields=lambda _: {"service": SERVICE})


async def latencies(site: Site, probes: Probes, jobs: list[Manifest]) -> list[float]:
    """Seconds from the answer to the PATCH that completes a Job until its event is here, one Job at a time, sorted.

    0 where the event is here first: the API server may tell its watchers before it answers. `jobs`: of `make_probes`,
    in their order.
    """
    took = []
    for number, job in enumerate(jobs):
        await asyncio.sleep(PAUSE)
        await Jobs(site).complete(job["metadata"]["name"])
        answered = time.perf_counter()
        took.append(max(0.0, await probes.arrival(f"{SERVICE}-{number}") - answered))
    return sorted(took)
