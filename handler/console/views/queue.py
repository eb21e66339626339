"""What waits: messages at the brokers, and requests of the record by what they wait for."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial

from adapters.base import Broker, BrokerError
from events.phases import Phase
from handler.console.backend import Backend
from handler.console.views.models import Lane, Queue, Waiting, WaitingFor
from handler.console.views.rows import row_of
from handler.history.base import Request, Wanted
from handler.operations.records import detail_of, event_document
from handler.operations.sentences import REASONS
from handler.operations.wording import clean

FRESH_SECONDS = 1.5
READ_MOST = 1000
"""Waiting requests that are looked at: those that were told of last."""
PAGE = 200
SHOWN_MOST = 50
"""Requests that are shown of those that wait for the same, and of those that stall."""
SECONDS_MOST = 5.0
"""That a broker is waited for."""
NAME = "queue"
"""Of the answer, for whoever has it asked anew."""
_LAST = float("inf")


async def queue_view(backend: Backend) -> Queue:
    """Lanes of all connected brokers, and requests that wait or stall. Raises `StoreUnavailable`.

    Whoever asks in the same moment is answered the same.
    """
    return await backend.answers.get(NAME, partial(_read, backend), fresh=FRESH_SECONDS)


async def _read(backend: Backend) -> Queue:
    brokers = list(backend.brokers.values())
    asked = await asyncio.gather(*(_lanes(broker) for broker in brokers))
    problems = [found for found in asked if isinstance(found, str)]
    if not brokers:
        problems.append("no broker was connected so far")
    waiting, more = await _waiting(backend)
    stalled = await backend.reader.page(Wanted(phases=(Phase.STALLED,)), limit=SHOWN_MOST, results=False)
    now = time.time()
    return Queue(
        lanes=[lane for found in asked if not isinstance(found, str) for lane in found],
        waiting=await _by_reason(backend, waiting, more=more, now=now),
        stalled=[row_of(request, now=now) for request in stalled.requests],
        more_stalled=stalled.next is not None,
        lag=backend.lag(),
        problems=problems,
    )


async def _lanes(broker: Broker) -> Sequence[Lane] | str:
    """Or why they cannot be told."""
    try:
        async with asyncio.timeout(SECONDS_MOST):
            depths = await broker.depth()
    except BrokerError as error:
        return f"broker {broker.name}: {clean(error)}"
    except TimeoutError:
        return f"broker {broker.name}: does not say what waits there"
    return [
        Lane(broker=broker.name, topic=str(topic), ready=depth.ready, unsettled=depth.unsettled)
        for topic, depth in depths.items()
    ]


async def _waiting(backend: Backend) -> tuple[Sequence[Request], bool]:
    """Those that wait, as far as they are looked at, and whether there are more."""
    found: list[Request] = []
    after = None
    while len(found) < READ_MOST:
        wanted = Wanted(phases=(Phase.QUEUED,))
        page = await backend.reader.page(wanted, limit=PAGE, after=after, results=False)
        found += page.requests
        after = page.next
        if after is None:
            break
    return found, after is not None


async def _by_reason(backend: Backend, waiting: Sequence[Request], *, more: bool, now: float) -> list[WaitingFor]:
    places = await _places(backend, [request.pk for request in waiting])
    groups: dict[str, list[Request]] = {}
    for request in waiting:
        groups.setdefault(request.reason or "", []).append(request)
    found = []
    for reason, requests in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        ordered = sorted(requests, key=lambda request: (places.get(request.pk, _LAST), request.created, request.pk))
        shown = [Waiting(request=row_of(one, now=now), place=places.get(one.pk)) for one in ordered[:SHOWN_MOST]]
        left_out = more or len(ordered) > SHOWN_MOST
        says = REASONS.get(reason, reason) or "nothing says why"
        found.append(WaitingFor(reason=reason, says=says, count=len(ordered), requests=shown, more=left_out))
    return found


async def _places(backend: Backend, pks: Sequence[int]) -> Mapping[int, int]:
    """Places in the queue, as the last event of each told it. Counted from 1."""
    told = await backend.reader.latest_of(pks, Phase.QUEUED)
    places = {one.request: detail_of(event_document(one)).get("position") for one in told}
    return {pk: place for pk, place in places.items() if isinstance(place, int) and not isinstance(place, bool)}
