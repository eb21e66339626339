"""Which waiting Jobs wait for themselves through their dependencies. In steps: a graph may have a million edges."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from handler.admission.data import Entry, Key

STEP = 5_000
"""Edges or Jobs that are looked at in a step: about a millisecond."""

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A computation in steps. What it returns is its result."""
Loop = Mapping[Key, str]
"""Jobs that all wait for each other, each with a dependency that leads back to it."""
_Blocked = list[tuple[Entry, Sequence[str]]]
"""Jobs, each with those of the ids it waits for that blocked Jobs have."""
_Graph = Sequence[Sequence[int]]
"""For each node, the nodes that it leads to."""


def find_loops(waiting: Sequence[Entry], others: Iterable[Entry]) -> Steps[list[Loop]]:
    """The loops among the waiting Jobs. `others`: Jobs that wait for nobody, but may be what a dependency means.

    A dependency means the Jobs of that id and the same source if there are any, else those from every source.
    """
    blocked = yield from _entangled([(entry, entry.needs.open) for entry in waiting if entry.needs is not None])
    if not blocked:
        return []
    known = yield from _known(blocked, chain(waiting, others))
    requests, graph = yield from _graph(blocked, known)
    component = yield from _components(graph)
    loops: defaultdict[int, dict[Key, str]] = defaultdict(dict)
    paced = _Pace()
    for node, (entry, _) in enumerate(blocked):
        for target in graph[node]:
            if component[target] == component[node]:
                loops[component[node]][entry.key] = requests[target - len(blocked)]
        if paced.over(len(graph[node])):
            yield
    return list(loops.values())


class _Pace:
    """Counts what was done, and says when a step is over."""

    def __init__(self) -> None:
        self._done = 0

    def over(self, done: int) -> bool:
        self._done += 1 + done
        if self._done < STEP:
            return False
        self._done = 0
        return True


def _entangled(blocked: _Blocked) -> Steps[_Blocked]:
    """The blocked Jobs without most of those that wait for no blocked Job or that none waits for: they are in no loop.

    Nearly always that leaves none. It is repeated only while each pass halves them: a long chain would take too many.
    """
    paced = _Pace()
    while True:
        there = {entry.request_id for entry, _ in blocked}
        wanted: set[str] = set()
        found: _Blocked = []
        for entry, ids in blocked:
            if not there.isdisjoint(ids):
                hits = [request_id for request_id in ids if request_id in there]
                wanted.update(hits)
                found.append((entry, hits))
            if paced.over(len(ids)):
                yield
        rest = [(entry, ids) for entry, ids in found if entry.request_id in wanted]
        if not rest or 2 * len(rest) > len(blocked):
            return rest
        blocked = rest


def _known(blocked: _Blocked, jobs: Iterable[Entry]) -> Steps[Mapping[str, set[str]]]:
    """Of each source, those of the ids that blocked Jobs wait for of which it has a Job itself."""
    paced = _Pace()
    wanted: set[str] = set()
    for _, ids in blocked:
        wanted.update(ids)
        if paced.over(len(ids)):
            yield
    known: defaultdict[str, set[str]] = defaultdict(set)
    for entry in jobs:
        if entry.request_id in wanted:
            known[entry.source].add(entry.request_id)
        if paced.over(0):
            yield
    return known


def _graph(blocked: _Blocked, known: Mapping[str, set[str]]) -> Steps[tuple[Sequence[str], _Graph]]:
    """First the Jobs, then the requests: returns the ids of these, and where all of them lead.

    Requests are nodes as well: that takes an edge for each dependency, not for each pair of Jobs. A request is a source
    and an id, or an id alone for those of every source. It leads to its Jobs.
    """
    paced = _Pace()
    requests, jobs = _Numbers(len(blocked)), list[list[int]]()
    for node, (entry, _) in enumerate(blocked):
        for source in (entry.source, None):
            number = requests.number(source, entry.request_id) - len(blocked)
            if number == len(jobs):
                jobs.append([])
            jobs[number].append(node)
        if paced.over(0):
            yield
    graph: list[Sequence[int]] = []
    for entry, ids in blocked:
        own, anyones = requests.of.get(entry.source, {}), requests.of[None]
        known_here = known.get(entry.source, ())
        targets = [(own if request_id in known_here else anyones).get(request_id) for request_id in ids]
        graph.append([target for target in targets if target is not None])
        if paced.over(len(ids)):
            yield
    return requests.ids, [*graph, *jobs]


class _Numbers:
    """Numbers requests, from `first` on. `of`: by source, then by id."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.of: defaultdict[str | None, dict[str, int]] = defaultdict(dict)
        self.ids: list[str] = []

    def number(self, source: str | None, request_id: str) -> int:
        number = self.of[source].setdefault(request_id, self._first + len(self.ids))
        if number == self._first + len(self.ids):
            self.ids.append(request_id)
        return number


def _components(graph: _Graph) -> Steps[Sequence[int]]:
    """For each node, the number of its strongly connected component (Kosaraju's algorithm)."""
    paced = _Pace()
    back: list[list[int]] = [[] for _ in graph]
    for node, targets in enumerate(graph):
        for target in targets:
            back[target].append(node)
        if paced.over(len(targets)):
            yield
    order = yield from _post_order(graph)
    component = [-1] * len(graph)
    for root in reversed(order):
        stack = [root]
        while stack:
            node = stack.pop()
            done = 0
            if component[node] < 0:
                component[node] = root
                stack += back[node]
                done = len(back[node])
            if paced.over(done):
                yield
    return component


def _post_order(graph: _Graph) -> Steps[Sequence[int]]:
    """The nodes in the order in which a depth-first search leaves them."""
    paced = _Pace()
    left, seen = [], [False] * len(graph)
    for root in range(len(graph)):
        stack = [root]
        while stack:
            node = stack.pop()
            done = 0
            if node < 0:  # its successors are left: see below
                left.append(~node)
            elif not seen[node]:
                seen[node] = True
                stack.append(~node)
                stack += graph[node]
                done = len(graph[node])
            if paced.over(done):
                yield
    return left
