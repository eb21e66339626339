"""Everything that a store holds, to compare two of them."""

from typing import Any

from msgspec.structs import replace

from handler.history.base import Reader, Request, Told, Wanted

PAGE = 200


async def contents(reader: Reader) -> dict[str, Any]:
    """All but numbers, which depend on the order of recording."""
    found: dict[str, Any] = {
        "stats": sorted(map(repr, await reader.stats())),
        "days": sorted(map(repr, await reader.days(newer=0.0, older=float(2**40)))),
        "actions": list((await reader.actions(limit=PAGE)).actions),
    }
    events: dict[int, list[Any]] = {}
    for one in await told(reader):
        events.setdefault(one.request, []).append((one.id, one.phase, one.time, one.body))
    for request in await requests(reader):
        own = events.get(request.pk)
        tags, pods = await reader.tags(request.pk), await reader.pods(request.pk)
        found[repr(request.key)] = (replace(request, pk=0), sorted(tags), list(pods), own)
    return found


async def requests(reader: Reader) -> list[Request]:
    page = await reader.page(Wanted(), limit=PAGE)
    found = list(page.requests)
    while page.next is not None:
        page = await reader.page(Wanted(), limit=PAGE, after=page.next)
        found += page.requests
    return found


async def told(reader: Reader) -> list[Told]:
    """All events, in the order of recording."""
    found: list[Told] = []
    while more := await reader.since(found[-1].position if found else 0, limit=1000):
        found += more
    return found


async def event_ids(reader: Reader) -> list[str]:
    return [one.id for one in await told(reader)]
