"""The order in which waiting Jobs ask for room: by priority and time waited, then fair shares, then age."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from operator import attrgetter, itemgetter

from events.request.queue import MAX_PRIORITY
from handler.admission.data import Entry

OVERDUE = MAX_PRIORITY + 1
"""From this level on, no newcomer comes first: its priority is 1000 at most."""

_BY_AGE = attrgetter("since", "key")
"""The key settles every tie: no two Jobs share it."""


def by_level(entries: Iterable[Entry], *, ageing: float, now: float) -> list[tuple[float, list[Entry]]]:
    """The levels, highest first, each with its Jobs. A level is the priority plus the full `ageing` periods waited."""
    levels: defaultdict[float, list[Entry]] = defaultdict(list)
    for entry in entries:
        waited = now - entry.since
        levels[entry.priority + waited // ageing if waited > 0 else entry.priority].append(entry)
    return sorted(levels.items(), key=itemgetter(0), reverse=True)


def shared(entries: Iterable[Entry], active: Mapping[str, int]) -> Iterator[Entry]:
    """The Jobs of one level in order: always the oldest Job of the service with the fewest active Jobs.

    `active`: how many Jobs are active in each service. It is read again after each Job, which may have become active.
    """
    places = sorted(entries, key=_BY_AGE)
    places.sort(key=lambda entry: active[entry.service])
    for index, entry in enumerate(places):
        before = active[entry.service]
        yield entry
        if active[entry.service] != before:
            # Merge lazily: sorting is far cheaper, and in a long queue most levels admit nobody.
            yield from _merged(places[index + 1 :], active)
            return


def _merged(entries: Sequence[Entry], active: Mapping[str, int]) -> Iterator[Entry]:
    """The order of `shared` while `active` keeps changing. `entries` are sorted by age within each service."""
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
        # Admitted or not, only the count of its own service can have changed.
        if queue:
            following = queue.pop()
            heapreplace(heads, (active[following.service], following.since, following.key, following, queue))
        else:
            heappop(heads)
