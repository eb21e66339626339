"""In which order waiting Jobs are asked for: priority and waiting, then fair shares, then age. Admits nobody."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from operator import attrgetter, itemgetter

from events.request.queue import MAX_PRIORITY
from handler.admission.data import Entry

OVERDUE = MAX_PRIORITY + 1
"""The level from which on no newcomer, of priority 1000 at most, can come before it."""

_BY_AGE = attrgetter("since", "key")
"""No two Jobs have the same key: it settles every tie."""


def by_level(entries: Iterable[Entry], *, ageing: float, now: float) -> list[tuple[float, list[Entry]]]:
    """The levels, whole numbers, the highest first; and the Jobs of each."""
    levels: defaultdict[float, list[Entry]] = defaultdict(list)
    for entry in entries:
        waited = now - entry.since
        levels[entry.priority + waited // ageing if waited > 0 else entry.priority].append(entry)
    return sorted(levels.items(), key=itemgetter(0), reverse=True)


def shared(entries: Iterable[Entry], active: Mapping[str, int]) -> Iterator[Entry]:
    """The Jobs of one level in their order: each time the oldest one of the service with the fewest active.

    `active`: how many are in any service. It is read again after each Job, which may have become one of them.
    """
    places = sorted(entries, key=_BY_AGE)
    places.sort(key=lambda entry: active[entry.service])
    for index, entry in enumerate(places):
        before = active[entry.service]
        yield entry
        if active[entry.service] != before:
            # Not before: sorting takes much less time, and hardly any level of a long queue has one that is let in.
            yield from _merged(places[index + 1 :], active)
            return


def _merged(entries: Sequence[Entry], active: Mapping[str, int]) -> Iterator[Entry]:
    """The same of Jobs that come sorted by age within each service, while more and more are let in."""
    services: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in reversed(entries):
        services[entry.service].append(entry)
    heads = []
    for service, queue in services.items():
        first = queue.pop()
        heads.append((active[service], first.since, first.key, first, queue))
    heapify(heads)
    while heads:
        _, _, _, entry, queue = heads[0]
        yield entry
        # Whether it was let in or not, only the number of its own service can have changed.
        if queue:
            then = queue.pop()
            heapreplace(heads, (active[then.service], then.since, then.key, then, queue))
        else:
            heappop(heads)
