"""Whether its dependencies let a waiting Job go on, keep it waiting, or end it. Does not look up outcomes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from events.names import Reason
from events.phases import Phase
from handler.admission.data import Entry, Fail, Key, Snapshot, Waiting

_ENDED: Mapping[str, str] = {Phase.FAILED: "failed", Phase.CANCELLED: "was cancelled"}
_Request = tuple[str | None, str]
"""Source and id of a request; a source of None means the requests of that id from every source."""
_Graph = Sequence[Sequence[int]]
"""For each node, the nodes that it leads to."""


def barred(entry: Entry, loops: Mapping[Key, str], now: float) -> Waiting | Fail | None:
    """Why its dependencies keep a Job from running, now or for good; None if they do not. `loops`: see `find_loops`."""
    if not entry.run_on_failure:
        for dependency in entry.dependencies:
            outcome = dependency.outcome
            if outcome is not None and outcome != Phase.SUCCEEDED:
                return _fail(entry, dependency.id, "DEPENDENCY_FAILED", _ENDED.get(outcome, "did not succeed"))
    if entry.key in loops:
        looping = loops[entry.key]
        what = "is itself" if looping == entry.request_id else "waits for it in turn"
        return _fail(entry, looping, "DEPENDENCY_CYCLE", what)
    if not _unresolved(entry):
        return None
    return Waiting(key=entry.key, reason=Reason.DEPENDENCIES) if now < entry.dependencies_until else _out_of_time(entry)


def _out_of_time(entry: Entry) -> Fail:
    unresolved = [dependency for dependency in entry.dependencies if dependency.outcome is None]
    for dependency in unresolved:
        if not dependency.seen:
            return _fail(entry, dependency.id, "DEPENDENCY_UNKNOWN", "never came, or its Job is gone already")
    return _fail(entry, unresolved[0].id, "DEPENDENCY_TIMEOUT", "had not ended when dependencyTimeout was over")


def _unresolved(entry: Entry) -> list[str]:
    """The ids of the requests whose outcome it waits for."""
    return [dependency.id for dependency in entry.dependencies if dependency.outcome is None]


def _fail(entry: Entry, request_id: str, code: str, what: str) -> Fail:
    return Fail(key=entry.key, code=code, message=f"the request {request_id!r}, which it depends on, {what}")


def find_loops(snapshot: Snapshot) -> dict[Key, str]:
    """The Jobs that wait for themselves through their dependencies, each with a dependency that leads back to it.

    A dependency means the Jobs of that id and the same source if there are any, else those from every source.
    """
    blocked = [(entry, ids) for entry in snapshot.waiting if entry.dependencies and (ids := _unresolved(entry))]
    meant = _meant(_entangled(blocked), snapshot)
    jobs: defaultdict[_Request, list[int]] = defaultdict(list)
    for node, (entry, _) in enumerate(meant):
        jobs[entry.source, entry.request_id].append(node)
        jobs[None, entry.request_id].append(node)
    # Requests are nodes as well as Jobs: that takes an edge for each dependency, not for each pair of Jobs.
    nodes = {request: node for node, request in enumerate(jobs, len(meant))}
    graph = [[nodes[request] for request in requests if request in nodes] for _, requests in meant]
    component = _components([*graph, *jobs.values()])
    return {
        entry.key: request[1]
        for node, (entry, requests) in enumerate(meant)
        for request in requests
        if request in nodes and component[nodes[request]] == component[node]
    }


def _entangled(blocked: list[tuple[Entry, list[str]]]) -> list[tuple[Entry, list[str]]]:
    """The blocked Jobs without most of those that wait for no blocked Job or that none waits for: they are in no loop.

    Nearly always that leaves none. It is repeated only while each pass halves them: a long chain would take too many.
    """
    while True:
        wanted = {request_id for _, ids in blocked for request_id in ids}
        wanted &= {entry.request_id for entry, _ in blocked}
        rest = [(entry, ids) for entry, ids in blocked if entry.request_id in wanted and not wanted.isdisjoint(ids)]
        if not rest or 2 * len(rest) > len(blocked):
            return rest
        blocked = rest


def _meant(blocked: Sequence[tuple[Entry, list[str]]], snapshot: Snapshot) -> list[tuple[Entry, list[_Request]]]:
    """Each blocked Job with the requests that the ids it waits for mean."""
    if not blocked:
        return []
    wanted = {request_id for _, ids in blocked for request_id in ids}
    jobs = chain(snapshot.active, snapshot.waiting)
    known = {(entry.source, entry.request_id) for entry in jobs if entry.request_id in wanted}
    return [
        (entry, [(entry.source if (entry.source, request_id) in known else None, request_id) for request_id in ids])
        for entry, ids in blocked
    ]


def _components(graph: _Graph) -> Sequence[int]:
    """For each node, the number of its strongly connected component (Kosaraju's algorithm)."""
    back: list[list[int]] = [[] for _ in graph]
    for node, targets in enumerate(graph):
        for target in targets:
            back[target].append(node)
    component = [-1] * len(graph)
    for root in reversed(_post_order(graph)):
        stack = [root]
        while stack:
            node = stack.pop()
            if component[node] < 0:
                component[node] = root
                stack += back[node]
    return component


def _post_order(graph: _Graph) -> Sequence[int]:
    """The nodes in the order in which a depth-first search leaves them."""
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
