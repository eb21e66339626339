"""A page with something of everything in it. Support for tests."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.headers import dead
from adapters.memory import MemoryBroker
from handler.console.backend import Backend
from handler.console.serving.server import serve_page
from handler.history.base import Action
from k8s.api.cluster import Cluster
from tests.handler.console.asking import Page, browser
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import lifecycle
from tests.handler.history.sql.entries import BROKER, batch


@asynccontextmanager
async def filled(
    cluster: Cluster,
    broker: MemoryBroker,
    *events: CloudEvent,
    actions: Sequence[Action] = (),
    **settings: Any,
) -> AsyncIterator[tuple[Page, Backend]]:
    """The page, once these are recorded, with this broker behind it."""
    async with seeing(cluster, *events, **{"ui_address": "127.0.0.1:0", **settings}) as (backend, writer):
        if actions:
            before = await backend.reader.position(BROKER)
            await writer.add(batch(2, actions=actions), broker=BROKER, after=before)
        backend.brokers = {broker.name: broker}
        async with serve_page(backend) as serving, browser() as session:
            assert serving is not None
            yield Page(serving, session), backend


def bury(
    broker: MemoryBroker, body: bytes, *, code: str = "INVALID_EVENT", reason: str = "no JSON", **headers: str
) -> None:
    """Put a message to the dead letters as it is refused."""
    stamped = dead(headers, code=code, reason=reason, origin="requests/7", attempts=1)
    broker.put(Topic(Kind.DEAD, "requests"), stamped, body)


def waiting(
    number: int, *, place: int | None, reason: str = "limit", name: str | None = None, **detail: Any
) -> list[Any]:
    """The events of a request that waits."""
    of, uid, now = name or f"waits-{number:03}", f"uid-w{number}", time.time() - 600 + number
    said: dict[str, Any] = {"reason": reason} | ({} if place is None else {"position": place})
    return [
        lifecycle("created", of, uid=uid, time=now, jobId=uid, jobName=f"job-{uid}", namespace="jobs"),
        lifecycle("queued", of, uid=uid, time=now + 1, **said, **detail),
    ]
