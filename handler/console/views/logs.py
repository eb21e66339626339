"""The log of a container as text."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from pydantic import Field

from handler.console.backend import Backend
from handler.console.http.problems import Fault, Problem
from handler.console.views.asked import Asked
from handler.console.views.logbytes import NONE, Place, opened_log
from handler.console.views.models import LogText, Pod
from handler.console.views.pods import pods_view
from handler.operations.wording import size

SHOWN_BYTES, READ_BYTES = 1 << 20, 16 << 20
"""Of a log as text: its last bytes, of the first that are read from the cluster. What is streamed raw has no bound."""
LINES, LINES_MOST = 1000, 100_000


class LogQuery(Asked):
    """Which log. Without a pod, of the last one; without a container, of its first."""

    pod: str | None = Field(default=None, description="Its uid or its name.")
    container: str | None = None
    tail: Annotated[int, Field(ge=1, le=LINES_MOST)] | None = Field(
        default=None, description="Only so many last lines."
    )


async def place_of(backend: Backend, number: int, query: LogQuery) -> Place | None:
    """The container that is meant; None if no pod of the request has one yet.

    Raises `Problem` if there is no such request, pod or container, and `StoreUnavailable`.
    """
    return place_in((await pods_view(backend, number)).pods, query)


def place_in(pods: Sequence[Pod], query: LogQuery) -> Place | None:
    """The same, of pods that are known. Raises `Problem` if there is no such pod or container."""
    if query.pod:
        pods = [pod for pod in pods if query.pod in (pod.uid, pod.name)]
        if not pods:
            raise _unknown("pod", "The request has no such pod.")
    pod = next((pod for pod in reversed(pods) if pod.containers), None)
    if pod is None:
        return None
    if query.container and query.container not in pod.containers:
        raise _unknown("container", "The pod has no such container.", allowed=", ".join(pod.containers))
    return Place(pod=pod, container=query.container or pod.containers[0])


def _unknown(name: str, detail: str, *, allowed: str | None = None) -> Problem:
    return Problem(404, "NOT_FOUND", detail, errors=[Fault(path=name, message="is not known", allowed=allowed)])


async def log_view(backend: Backend, number: int, query: LogQuery) -> LogText:
    """The end of a log. Raises `Problem` if there is no such request, pod or container, and what `log_at` does."""
    return await log_at(backend, await place_of(backend, number, query), query)


async def log_at(backend: Backend, place: Place | None, query: LogQuery) -> LogText:
    """The end of a container's log. Raises `StoreUnavailable`, and `KubernetesError` where the cluster breaks off."""
    if place is None:
        return LogText(pod="", container="", origin=NONE, text="", note="No pod of the request is known yet.")
    lines = query.tail or LINES
    async with opened_log(backend, place, tail=lines, most=READ_BYTES) as log:
        body, cut = await _end_of(log.pieces)
    notes = [log.note]
    if log.origin != NONE:
        notes += [] if query.tail else [f"Its last {lines} lines at most."]
        notes += [f"Only {size(SHOWN_BYTES)} of them are shown."] if cut else []
    text = body.decode(errors="replace")
    return LogText(pod=place.pod.name, container=place.container, origin=log.origin, text=text, note=" ".join(notes))


async def _end_of(pieces: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The last `SHOWN_BYTES`, and whether there were more."""
    held, total, cut = deque[bytes](), 0, False
    async for piece in pieces:
        held.append(piece)
        total += len(piece)
        while total - len(held[0]) >= SHOWN_BYTES:
            total -= len(held.popleft())
            cut = True
    return b"".join(held)[-SHOWN_BYTES:], cut or total > SHOWN_BYTES
