"""How long the history takes to answer what people ask of it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from events.phases import Phase
from handler.history.base import Reader, Wanted
from tests.bench.history.lives import RARE, SPAN

LIMIT = 50
DEEP = 10_000
SAMPLES = 200
MOST_SECONDS = 10.0
"""How long a question is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds for the answer to a question: half of them took `half` or less, and 99 of 100 `most` or less."""

    what: str
    half: float
    most: float


async def asking(store: Reader, *, until: float, samples: int = SAMPLES) -> list[Took]:
    """Ask each question so often, or for `MOST_SECONDS`. `until`: when the last request was made."""
    deep = await _deep(store)
    some = (await store.page(Wanted(), limit=LIMIT)).requests[-1]
    pages: Mapping[str, Callable[[], Awaitable[object]]] = {
        "page: newest": partial(_page, store, Wanted()),
        "page: by phase": partial(_page, store, Wanted(phases=(Phase.FAILED,))),
        "page: by phases that have not ended": partial(_page, store, Wanted(phases=(Phase.STARTED, Phase.QUEUED))),
        "page: by tag": partial(_page, store, Wanted(tag="tag-7")),
        "page: by service": partial(_page, store, Wanted(service="service-3")),
        "page: by phase and service, few": partial(_page, store, Wanted(phases=(Phase.CANCELLED,), service=RARE)),
        "page: by tag and phase": partial(_page, store, Wanted(tag="tag-7", phases=(Phase.CANCELLED,))),
        "page: by id": partial(_page, store, Wanted(id=some.key.id)),
        "page: by the beginning of the id": partial(_page, store, Wanted(text="service-7-000")),
        "page: by a beginning that none has": partial(_page, store, Wanted(text="none")),
        f"page: number {DEEP:,}, or the last": partial(_page, store, Wanted(), after=deep),
        "a request with its events": partial(_whole, store, some.pk),
        "all requests of an id": partial(store.find, some.key.id),
        "statistics of 30 days": partial(store.stats, newer=until - SPAN),
    }
    return [await _timed(what, ask, samples) for what, ask in pages.items()]


async def _deep(store: Reader) -> str | None:
    token = None
    for _ in range(DEEP - 1):
        page = await store.page(Wanted(), limit=LIMIT, after=token)
        if page.next is None:
            break
        token = page.next
    return token


async def _page(store: Reader, wanted: Wanted, after: str | None = None) -> None:
    await store.page(wanted, limit=LIMIT, after=after)


async def _whole(store: Reader, pk: int) -> None:
    await store.request(pk)
    await store.tags(pk)
    await store.events(pk)
    await store.pods(pk)


async def _timed(what: str, ask: Callable[[], Awaitable[object]], samples: int) -> Took:
    took: list[float] = []
    while len(took) < samples and sum(took) < MOST_SECONDS:
        begun = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - begun)
    took.sort()
    half, most = (took[int((len(took) - 1) * share)] for share in (0.5, 0.99))
    return Took(what=what, half=half, most=most)
