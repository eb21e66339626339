"""The Pods of one Job, as much of each as lifecycle events may tell, however many there are. Pure.

A termination message has up to 4 KiB and a Job up to 10,000 pods, but of all results 16 KiB are published, and of most
failures a line. What can no longer be told is not kept.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from events.jobs.pods import Pod
from events.lifecycle.failures import culprit, in_a_line, last
from events.lifecycle.results import MAX_RESULTS, compact

GONE_KEPT = 20
"""How many deleted Pods of a Job are kept."""
WHOLE_FAILURES = 16_384
"""Bytes of messages that are kept whole of the pods that may speak for a Job's failure, the last ones."""
LINES = 262_144
"""Bytes of the last lines that are kept of the messages of all other pods that did not succeed."""
_ENTRY = 20
"""Bytes that an entry of `results` has at least, beside its result."""

Rank = tuple[object, ...]


class JobPods:
    """In the order in which they were first seen. The last `GONE_KEPT` of those that are gone stay as last seen."""

    __slots__ = ("_gone", "_pods", "_shelves")

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        # Most Jobs have one pod that leaves nothing.
        self._gone: dict[str, None] | None = None
        self._shelves: _Shelves | None = None

    def __iter__(self) -> Iterator[Pod]:
        return iter(self._pods.values())

    def present(self) -> set[str]:
        """The uids of those that are not gone."""
        return self._pods.keys() - (self._gone or {}).keys()

    def put(self, pod: Pod) -> bool:
        """Keep this version of a Pod. Returns whether it differs from what was kept."""
        before = self._pods.get(pod.uid)
        if self._gone:
            self._gone.pop(pod.uid, None)
        self._keep(_tellable(pod))
        return before != self._pods[pod.uid]

    def drop(self, uid: str) -> bool:
        """The API server no longer has this Pod. Returns whether that is new."""
        pod = self._pods.get(uid)
        if pod is None or pod.gone:
            return False
        self._gone = {} if self._gone is None else self._gone
        self._gone[uid] = None
        self._keep(replace(pod, gone=True, deleted=pod.ended_at if pod.deleted is None else pod.deleted))
        if len(self._gone) > GONE_KEPT:
            self.forget(next(iter(self._gone)))
        return True

    def forget(self, uid: str) -> None:
        """It is no longer of interest."""
        self._pods.pop(uid, None)
        if self._gone:
            self._gone.pop(uid, None)
        if self._shelves is not None:
            self._shelves.take_off(uid)

    def _keep(self, pod: Pod) -> None:
        self._pods[pod.uid] = pod
        if self._shelves is not None:
            self._shelves.take_off(pod.uid)
        if size := _size(pod):
            self._shelves = self._shelves or _Shelves()
            self._keep_message(pod, size, self._shelves)

    def _keep_message(self, pod: Pod, size: int, shelves: "_Shelves") -> None:
        if pod.phase == "Succeeded":
            shelves.results.put((pod.index or 0, *last(pod)), pod.uid, size + _ENTRY)
            for uid in shelves.results.surplus():
                self._pods[uid] = _without_result(self._pods[uid])
            return
        shelves.failures.put(_speaking(pod), pod.uid, size)
        for uid in shelves.failures.surplus():
            self._pods[uid] = short = _with_a_line(self._pods[uid])
            if line := _size(short):
                shelves.lines.put(_speaking(short), uid, line)
        for uid in shelves.lines.surplus():
            self._pods[uid] = _with(self._pods[uid], {})


class _Shelves:
    """Which messages are kept, and how much of them."""

    def __init__(self) -> None:
        self.results = _Shelf(MAX_RESULTS, last=False)
        self.failures = _Shelf(WHOLE_FAILURES, last=True)
        self.lines = _Shelf(LINES, last=True)

    def take_off(self, uid: str) -> None:
        for shelf in (self.results, self.failures, self.lines):
            shelf.take_off(uid)


class _Shelf:
    """Names of what is kept, in order of their ranks, as far as their sizes together allow.

    `last`: of too many the last stay, else the first.
    """

    def __init__(self, most: int, *, last: bool) -> None:
        self._most = most
        self._lowest = 0 if last else -1
        self._size = 0
        self._ranks: list[tuple[Rank, str]] = []
        self._known: dict[str, tuple[Rank, int]] = {}

    def put(self, rank: Rank, uid: str, size: int) -> None:
        self._known[uid] = rank, size
        self._size += size
        insort(self._ranks, (rank, uid))

    def take_off(self, uid: str) -> None:
        if (known := self._known.pop(uid, None)) is not None:
            rank, size = known
            self._size -= size
            del self._ranks[bisect_left(self._ranks, (rank, uid))]

    def surplus(self) -> Iterator[str]:
        """Take off what the shelf is full without."""
        while self._ranks:
            _, uid = self._ranks[self._lowest]
            if self._size - self._known[uid][1] < self._most:
                return
            self.take_off(uid)
            yield uid


def _speaking(pod: Pod) -> Rank:
    """Ranks pods that did not succeed: the one that speaks for its Job is the last, see `outcome_detail`."""
    return pod.deleted is None or pod.disruption is not None, *last(pod)


def _tellable(pod: Pod) -> Pod:
    """Without the messages that nobody asks for: only the main container, and the one that failed, have a say."""
    main, bad = pod.main, culprit(pod)
    if main is None:
        return pod
    if pod.phase == "Succeeded":
        return _with(pod, {main.name: None if main.unkept else compact(main.message, cut=main.cut)})
    return _with(pod, {one.name: one.message for one in (main, bad) if one is not None})


def _with(pod: Pod, messages: Mapping[str, str | None]) -> Pod:
    """With these messages of its containers, and no others."""
    if all(one.message == messages.get(one.name) for one in pod.containers):
        return pod
    return replace(pod, containers=tuple(replace(one, message=messages.get(one.name)) for one in pod.containers))


def _with_a_line(pod: Pod) -> Pod:
    container = culprit(pod)
    return _with(pod, {} if container is None else {container.name: in_a_line(container)})


def _without_result(pod: Pod) -> Pod:
    main, *others = pod.containers
    return replace(pod, containers=(replace(main, message=None, unkept=True), *others))


def _size(pod: Pod) -> int:
    """Bytes of its messages."""
    return sum(len(one.message.encode(errors="replace")) for one in pod.containers if one.message)
