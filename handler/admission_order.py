"""In which order waiting Jobs are asked for: priority and waiting, then fair shares, then age. Admits nobody."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from operator import attrgetter, itemgetter

from handler.admission_data import Entry

OVERDUE = 1001
"""The level from which on no newcomer, of priority 1000 at most, can come before it."""


BY_AGE = attrgetter("since", "key")
"""No two Jobs have the same key: it settles every tie."""


def by_level(entries: Iterable[Entry], *, ageing: float, now: float) -> list[tuple[float, Mapping[str, list[Entry]]]]:
    """The levels, whole numbers, the highest first; and the Jobs of each by their services."""
    levels: defaultdict[float, defaultdict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        waited = now - entry.since
        level = entry.priority + waited // ageing if waited > 0 else entry.priority
        levels[level][entry.service].append(entry)
    return sorted(levels.items(), key=itemgetter(0), reverse=True)


def shared(services: Mapping[str, list[Entry]], active: Mapping[str, int]) -> Iterator[Entry]:
    """Of the Jobs of one level, each time the oldest of the service with the fewest active.

    `active`: how many are in each service. It is read again after each Job, which may have become one of them.
    """
    heads = []
    for service, queue in services.items():
        queue.sort(key=BY_AGE, reverse=True)
        first = queue.pop()
        heads.append((active.get(service, 0), first.since, first.key, first, queue))
    heapify(heads)
    while heads:
        _, _, _, entry, queue = heads[0]
        yield entry
        # Whether it was let in or not, only the number of its own service can have changed.
        if queue:
            then = queue.pop()
            heapreplace(heads, (active.get(then.service, 0), then.since, then.key, then, queue))
        else:
            heappop(heads)
