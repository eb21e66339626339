"""Keeps the logs of a development cluster's pods, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from handler.history.base import Bodies, KeptLog, LogState, PodRun, Reader, Request, Writer
from handler.history.podlogs import PodLogs
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.background import beside
from tests.handler.samples import until


@asynccontextmanager
async def keeping(
    cluster: Cluster, reader: Reader, writer: Writer, bodies: Bodies | None = None, **settings: Any
) -> AsyncIterator[Metrics]:
    """Logs are kept within the block."""
    metrics = Metrics()
    logs = PodLogs(cluster, Settings(role="console", **settings), metrics, reader, bodies)
    async with beside(logs.run(writer)):
        yield metrics


async def recorded(reader: Reader, request_id: str) -> Request:
    """The row of this request, once there is one."""

    async def look() -> Request | None:
        found = await reader.find(request_id)
        return found[0] if found else None

    return await until(look)


async def pods_of(reader: Reader, request_id: str, *, count: int = 1) -> list[PodRun]:
    """The pods of this request, once that many have ended."""
    request = await recorded(reader, request_id)

    async def look() -> list[PodRun] | None:
        found = [pod for pod in await reader.pods(request.pk) if pod.finished is not None]
        return found if len(found) >= count else None

    return await until(look)


async def log_of(reader: Reader, pod: str, container: str = "main", *, growing: bool = False) -> KeptLog:
    """The log of this container, once it is done; `growing`: once there is something of it."""

    async def look() -> KeptLog | None:
        found = [log for log in await reader.logs(pod) if log.container == container]
        return found[0] if found and (growing or found[0].state is not LogState.GROWING) else None

    return await until(look)
