"""What a waiting Job's dependencies say about it: it goes on, it waits, it can never run. Finds no outcomes itself."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from itertools import chain

from events.names import Phase
from handler.admission_data import Dependency, Entry, Fail, Hold, Key, Reason, Snapshot

_ENDED: Mapping[str, str] = {Phase.FAILED: "failed", Phase.CANCELLED: "was cancelled"}
_Request = tuple[str | None, str]
"""Source and id of a request; None for the requests of that id from whatever source."""
_Graph = Sequence[Sequence[int]]
"""For each node those that it leads to."""


def barred(entry: Entry, loops: Mapping[Key, str], now: float) -> Hold | Fail | None:
    """Why its dependencies keep it from running, now or ever. `loops` is what `find_loops` answers."""
    if not entry.run_on_failure:
        for one in entry.dependencies:
            if one.outcome is not None and one.outcome != Phase.SUCCEEDED:
                return _fail(entry, one.id, "DEPENDENCY_FAILED", _ENDED.get(one.outcome, "did not succeed"))
    if entry.key in loops:
        looping = loops[entry.key]
        what = "is itself" if looping == entry.request_id else "waits for it in turn"
        return _fail(entry, looping, "DEPENDENCY_CYCLE", what)
    unresolved = _unresolved(entry)
    if not unresolved:
        return None
    if now < entry.dependencies_until:
        return Hold(key=entry.key, reason=Reason.DEPENDENCIES)
    return _overdue(entry, unresolved)


def _unresolved(entry: Entry) -> list[Dependency]:
    return [one for one in entry.dependencies if one.outcome is None]


def _overdue(entry: Entry, unresolved: Sequence[Dependency]) -> Fail:
    for one in unresolved:
        if not one.seen:
            return _fail(entry, one.id, "DEPENDENCY_UNKNOWN", "never came, or its Job is gone already")
    return _fail(entry, unresolved[0].id, "DEPENDENCY_TIMEOUT", "had not ended when dependencyTimeout was over")


def _fail(entry: Entry, request_id: str, code: str, what: str) -> Fail:
    return Fail(key=entry.key, code=code, message=f"the request {request_id!r}, which it depends on, {what}")


def find_loops(snapshot: Snapshot) -> dict[Key, str]:
    """The waiting Jobs that wait for themselves by way of their dependencies, each with the one that leads back to it.

    A dependency means the Jobs of that id and of the same source where there are any, else those of every source.
    """
    blocked = [entry for entry in snapshot.waiting if entry.dependencies and _unresolved(entry)]
    wanted = {one.id for entry in blocked for one in entry.dependencies}
    # Hardly ever is one left: whom nobody waits for is in no loop.
    blocked = [entry for entry in blocked if entry.request_id in wanted]
    if not blocked:
        return {}
    known = _known(snapshot, wanted)
    jobs: defaultdict[_Request, list[int]] = defaultdict(list)
    for node, entry in enumerate(blocked):
        jobs[entry.source, entry.request_id].append(node)
        jobs[None, entry.request_id].append(node)
    # What a dependency means is a node too: there are as many edges as dependencies, not as pairs of Jobs.
    graph: list[list[int]] = [[] for _ in blocked]
    requests: dict[_Request, int] = {}
    for node, entry in enumerate(blocked):
        for request in _meant(entry, known):
            if request in jobs and request not in requests:
                requests[request] = len(graph)
                graph.append(jobs[request])
            if request in jobs:
                graph[node].append(requests[request])
    component = _components(graph)
    return {
        entry.key: request[1]
        for node, entry in enumerate(blocked)
        for request in reversed(_meant(entry, known))
        if request in requests and component[requests[request]] == component[node]
    }


def _known(snapshot: Snapshot, ids: Set[str]) -> set[_Request]:
    """Those of the requests with these ids that have a Job that waits or runs."""
    jobs = chain(snapshot.active, snapshot.waiting)
    return {(entry.source, entry.request_id) for entry in jobs if entry.request_id in ids}


def _meant(entry: Entry, known: Set[_Request]) -> list[_Request]:
    """What its unresolved dependencies mean."""
    ids = [one.id for one in _unresolved(entry)]
    return [(entry.source, one) if (entry.source, one) in known else (None, one) for one in ids]


def _components(graph: _Graph) -> Sequence[int]:
    """For each node a number that it shares with exactly those that it leads to and that lead back to it (Kosaraju)."""
    back: list[list[int]] = [[] for _ in graph]
    for node, targets in enumerate(graph):
        for target in targets:
            back[target].append(node)
    component = [-1] * len(graph)
    for root in reversed(_left_last(graph)):
        stack = [root]
        while stack:
            node = stack.pop()
            if component[node] < 0:
                component[node] = root
                stack += back[node]
    return component


def _left_last(graph: _Graph) -> Sequence[int]:
    """The nodes as a depth-first walk leaves them: each after all that it leads to, but for loops."""
    left, seen = [], [False] * len(graph)
    for root in range(len(graph)):
        stack = [(root, False)]
        while stack:
            node, is_left = stack.pop()
            if is_left:
                left.append(node)
            elif not seen[node]:
                seen[node] = True
                stack.append((node, True))
                stack += [(target, False) for target in graph[node]]
    return left
