"""What a waiting Job's dependencies say about it: it goes on, it waits, it can never run. Finds no outcomes itself."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from events.names import Reason
from events.phases import Phase
from handler.admission.data import Entry, Fail, Key, Snapshot, Waiting

_ENDED: Mapping[str, str] = {Phase.FAILED: "failed", Phase.CANCELLED: "was cancelled"}
_Request = tuple[str | None, str]
"""Source and id of a request; None for the requests of that id from whatever source."""
_Graph = Sequence[Sequence[int]]
"""For each node those that it leads to."""


def barred(entry: Entry, loops: Mapping[Key, str], now: float) -> Waiting | Fail | None:
    """Why its dependencies keep it from running, now or ever. `loops` is what `find_loops` answers."""
    if not entry.run_on_failure:
        for one in entry.dependencies:
            if one.outcome is not None and one.outcome != Phase.SUCCEEDED:
                return _fail(entry, one.id, "DEPENDENCY_FAILED", _ENDED.get(one.outcome, "did not succeed"))
    if entry.key in loops:
        looping = loops[entry.key]
        what = "is itself" if looping == entry.request_id else "waits for it in turn"
        return _fail(entry, looping, "DEPENDENCY_CYCLE", what)
    if not _unresolved(entry):
        return None
    return Waiting(key=entry.key, reason=Reason.DEPENDENCIES) if now < entry.dependencies_until else _out_of_time(entry)


def _out_of_time(entry: Entry) -> Fail:
    unresolved = [one for one in entry.dependencies if one.outcome is None]
    for one in unresolved:
        if not one.seen:
            return _fail(entry, one.id, "DEPENDENCY_UNKNOWN", "never came, or its Job is gone already")
    return _fail(entry, unresolved[0].id, "DEPENDENCY_TIMEOUT", "had not ended when dependencyTimeout was over")


def _unresolved(entry: Entry) -> list[str]:
    """The ids of the requests whose outcome it waits for."""
    return [one.id for one in entry.dependencies if one.outcome is None]


def _fail(entry: Entry, request_id: str, code: str, what: str) -> Fail:
    return Fail(key=entry.key, code=code, message=f"the request {request_id!r}, which it depends on, {what}")


def find_loops(snapshot: Snapshot) -> dict[Key, str]:
    """The waiting Jobs that wait for themselves by way of their dependencies, each with one that leads back to it.

    A dependency means the Jobs of that id and of the same source where there are any, else those of every source.
    """
    blocked = [(entry, ids) for entry in snapshot.waiting if entry.dependencies and (ids := _unresolved(entry))]
    meant = _meant(_entangled(blocked), snapshot)
    jobs: defaultdict[_Request, list[int]] = defaultdict(list)
    for node, (entry, _) in enumerate(meant):
        jobs[entry.source, entry.request_id].append(node)
        jobs[None, entry.request_id].append(node)
    # What a dependency means is a node too: there are as many edges as dependencies, not as pairs of Jobs.
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
    """Without most of those that wait for no blocked one, or for which none waits: they are in no loop.

    Nearly always that is all of them. It is repeated only as long as it halves them: a long chain gives way too slowly.
    """
    while True:
        wanted = {one for _, ids in blocked for one in ids}
        wanted &= {entry.request_id for entry, _ in blocked}
        rest = [(entry, ids) for entry, ids in blocked if entry.request_id in wanted and not wanted.isdisjoint(ids)]
        if not rest or 2 * len(rest) > len(blocked):
            return rest
        blocked = rest


def _meant(blocked: Sequence[tuple[Entry, list[str]]], snapshot: Snapshot) -> list[tuple[Entry, list[_Request]]]:
    """Whom the ids that each of them waits for mean."""
    if not blocked:
        return []
    ids = {one for _, wanted in blocked for one in wanted}
    jobs = chain(snapshot.active, snapshot.waiting)
    known = {(entry.source, entry.request_id) for entry in jobs if entry.request_id in ids}
    return [
        (entry, [(entry.source, one) if (entry.source, one) in known else (None, one) for one in wanted])
        for entry, wanted in blocked
    ]


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
