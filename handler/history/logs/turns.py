"""Whose turn it is to be looked at: so many at a time, and no node holds the others up. Pure: it is told the time."""

import heapq
from collections import defaultdict, deque

import msgspec

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds for which a node is left alone after a failure; each time twice as long as before, up to the longest."""


class _Node(msgspec.Struct):
    """`failures`: in a row; with any, the node has one turn at a time, and none before `again`."""

    ready: deque[str]
    busy: int = 0
    failures: int = 0
    again: float = 0.0


class Turns:
    """Names of Pods, each with a node and a time from which on it is due.

    At most `most` have a turn at the same time. A node that answers may have most of these turns, but not all of them,
    unless there is only one; the nodes that do not answer have a quarter together. No node (`""`) always answers.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._doubtful = max(1, most // 4)
        self._of_a_node = max(1, most - self._doubtful)
        self._nodes: defaultdict[str, _Node] = defaultdict(lambda: _Node(deque()))
        self._due: dict[str, tuple[float, str]] = {}
        self._heap: list[tuple[float, str]] = []
        self._ready: dict[str, str] = {}
        self._busy: dict[str, str] = {}

    def put(self, name: str, node: str, at: float) -> None:
        """It is due at this time, or at the earlier one that was known. It must not have a turn."""
        if self._ready.get(name) == node:
            return
        self._ready.pop(name, None)
        known = self._due.get(name)
        at = at if known is None else min(at, known[0])
        if known != (at, node):
            self._due[name] = at, node
            heapq.heappush(self._heap, (at, name))

    def drop(self, name: str) -> None:
        """It is not due any more."""
        self._due.pop(name, None)
        self._ready.pop(name, None)

    def take(self, now: float) -> list[str]:
        """Whose turn it is. Each has its turn until `end`."""
        self._sort(now)
        taken: list[str] = []
        before = -1
        while len(taken) > before:
            before = len(taken)
            for place, node in self._nodes.items():
                if self._may(place, node, now) and (name := self._next(place, node)) is not None:
                    self._busy[name] = place
                    node.busy += 1
                    taken.append(name)
        return taken

    def next_at(self, now: float) -> float | None:
        """When there may be another turn, if none ends before; None: not without news."""
        times = [self._heap[0][0]] if self._heap else []
        times += [node.again for node in self._nodes.values() if node.ready and node.failures and node.again > now]
        return min(times, default=None)

    def answered(self, name: str) -> None:
        """Its node has answered."""
        node = self._nodes[self._busy[name]]
        node.failures, node.again = 0, 0.0

    def failed(self, name: str, now: float) -> None:
        """Its node has not answered, or not well."""
        node = self._nodes[self._busy[name]]
        if now < node.again:
            return  # It was asked before the pause: that says nothing new.
        node.failures += 1
        node.again = now + doubled(FIRST_PAUSE, node.failures, longest=LONGEST_PAUSE)

    def end(self, name: str) -> None:
        """Its turn is over."""
        place = self._busy.pop(name)
        node = self._nodes[place]
        node.busy -= 1
        if not (node.busy or node.ready or node.failures):
            del self._nodes[place]

    def has_turn(self, name: str) -> bool:
        return name in self._busy

    def _sort(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            at, name = heapq.heappop(self._heap)
            due = self._due.get(name)
            if due is not None and due[0] == at:
                del self._due[name]
                self._ready[name] = due[1]
                self._nodes[due[1]].ready.append(name)
        for place in [place for place, node in self._nodes.items() if _is_forgotten(node, now)]:
            del self._nodes[place]

    def _may(self, place: str, node: _Node, now: float) -> bool:
        if not node.ready or len(self._busy) >= self._most:
            return False
        if not node.failures:
            return not place or node.busy < self._of_a_node
        doubtful = sum(other.busy for other in self._nodes.values() if other.failures)
        return not node.busy and now >= node.again and doubtful < self._doubtful

    def _next(self, place: str, node: _Node) -> str | None:
        while node.ready:
            name = node.ready.popleft()
            if self._ready.get(name) == place:
                del self._ready[name]
                return name
        return None


def doubled(first: float, failures: int, *, longest: float) -> float:
    """Seconds to wait after so many failures, at least one: each time twice as long."""
    return min(longest, first * 2.0 ** min(failures - 1, 20))


def _is_forgotten(node: _Node, now: float) -> bool:
    return not node.busy and not node.ready and now > node.again + LONGEST_PAUSE
