"""The log of a container as bytes: from the cluster while that has it, else what was kept."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from handler.console.backend import Backend
from handler.console.views.models import Pod
from handler.console.views.pods import PATIENCE_SECONDS
from handler.history.base import LogState
from handler.history.logs.bodies import NoLog, kept
from k8s.base import KubernetesError, NotFound, Refused

LIVE, HISTORY, NONE = "live", "history", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A container whose log is asked for."""

    pod: Pod
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A log. `origin`: `LIVE`, `HISTORY` or `NONE`; `note`: where it is from, or why there is none.

    `pieces`: its bytes. They may raise `KubernetesError` and `StoreUnavailable`.
    """

    origin: str
    note: str
    pieces: AsyncIterator[bytes]


@asynccontextmanager
async def opened_log(
    backend: Backend, place: Place, *, tail: int | None = None, most: int | None = None
) -> AsyncIterator[Opened]:
    """A log: from the cluster, unless all of it is kept or the cluster does not have it.

    `tail`: only so many last lines. `most`: only the first bytes of what the cluster has. Raises `StoreUnavailable`.
    """
    async with AsyncExitStack() as stack:
        yield await _opened(stack, backend, place, tail, most)


async def _opened(stack: AsyncExitStack, backend: Backend, place: Place, tail: int | None, most: int | None) -> Opened:
    if any(log.container == place.container and log.state == LogState.WHOLE for log in place.pod.logs):
        return await _kept(stack, backend, place, tail, because="")
    live = backend.cluster.pod_log(
        place.pod.namespace, place.pod.name, container=place.container, tail=tail, limit_bytes=most
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            pieces = await _begun(stack, live)
    except (KubernetesError, TimeoutError) as error:
        return await _kept(stack, backend, place, tail, because=_because(error))
    return Opened(origin=LIVE, note="From the cluster, as it is now.", pieces=pieces)


async def _kept(stack: AsyncExitStack, backend: Backend, place: Place, tail: int | None, *, because: str) -> Opened:
    """What the history has. `because`: why the cluster does not show it; empty if that was not asked."""
    try:
        pieces = await _begun(stack, kept(backend.reader, backend.bodies, place.pod.uid, place.container, tail=tail))
    except NoLog as error:
        off = " Logs are not kept here: JOBRELAY_LOGS is off." if backend.settings.logs == "off" else ""
        return Opened(origin=NONE, note=f"{because}In the history, {error}.{off}", pieces=_nothing())
    return Opened(origin=HISTORY, note=f"{because}From the history.", pieces=pieces)


async def _begun(stack: AsyncExitStack, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """These pieces, once the first is there: by then it shows whether there are any."""
    if isinstance(pieces, AsyncGenerator):
        stack.push_async_callback(pieces.aclose)
    return _after(await anext(pieces, b""), pieces)


async def _after(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _because(error: Exception) -> str:
    match error:
        case NotFound():
            return "The cluster has no such pod any more. "
        case Refused():
            return "The container has not started yet, or its log is gone from its node. "
        case _:
            return "The cluster does not answer now. "
