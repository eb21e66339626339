"""A jobrelay with a console in this process, and what people do there. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.memory import MemoryBroker
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.history.base import Action, Request, Wanted
from k8s.api.cluster import Cluster
from k8s.base import NotFound
from tests.handler.console.served import Served, served
from tests.handler.relay import Client, running
from tests.handler.samples import until

ADA = Person(name="ada", operator=True, session="s-1")
BOB = Person(name="bob", operator=True, session="s-2")


@dataclass(frozen=True, slots=True)
class Site:
    """`client`: what is published and what comes back. `page`: as served."""

    client: Client
    page: Served

    @property
    def backend(self) -> Backend:
        return self.page.backend

    async def recorded(self, request_id: str, *phases: str) -> Request:
        """The newest request of this id in the record, once it is there, in one of these phases."""

        async def look() -> Request | None:
            found = await self.backend.reader.find(request_id)
            return next((one for one in found if not phases or one.phase in phases), None)

        return await until(look)

    async def made_by(self, event_id: str) -> Request:
        """The request that this event has made, once it is recorded."""

        async def look() -> Request | None:
            page = await self.backend.reader.page(Wanted(), limit=50)
            return next((one for one in page.requests if one.key.cause == event_id), None)

        return await until(look)

    async def made(self, beginning: str, phase: str) -> Request:
        """A request whose id begins so, once it is in this phase."""

        async def look() -> Request | None:
            page = await self.backend.reader.page(Wanted(text=beginning), limit=50)
            return next((one for one in page.requests if one.phase == phase), None)

        return await until(look)

    async def answered(self, count: int = 1) -> list[Action]:
        """The audit, newest first, once it has so many."""

        async def look() -> list[Action] | None:
            found = [*(await self.backend.reader.actions()).actions]
            return found if len(found) >= count else None

        return await until(look)


WAIT = 2.0
"""Seconds that commands wait for their request."""


@asynccontextmanager
async def site(
    broker: MemoryBroker, cluster: Cluster, *, functions: Path | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """A jobrelay whose console records, until the block ends. `settings`: of the console."""
    if functions is not None:
        settings["functions"] = functions
    # What nobody knows is to be answered soon.
    relay = running(broker, cluster, functions=functions, control_wait=WAIT)
    async with relay as client, served(broker, cluster, **settings) as page:
        yield Site(client, page)


async def gone(here: Site, cluster: Cluster, request_id: str, phase: str = "succeeded") -> int:
    """The number of a request that has ended so, once its pod is kept and its Job is deleted."""
    request = await here.recorded(request_id, phase)
    namespace, job = str(request.namespace), str(request.job)

    async def kept() -> bool:
        return any(pod.finished for pod in await here.backend.reader.pods(request.pk))

    async def released() -> bool:
        return not (await cluster.read_job(namespace, job))["metadata"].get("finalizers")

    async def away() -> bool:
        try:
            await cluster.read_job(namespace, job)
        except NotFound:
            return True
        return False

    await until(kept)
    await until(released)
    await cluster.delete_job(namespace, job)
    await until(away)
    return request.pk
