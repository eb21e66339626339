"""What the record holds, and what is asked of whoever keeps it. Times are epoch seconds."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from adapters.base import Cursor
from events.phases import Phase


class HistoryError(Exception):
    """Base of what a store raises."""


class StoreUnavailable(HistoryError):
    """Not now: no connection, locked, disk full. Nothing of the transaction was kept; try again later."""


class LockLost(StoreUnavailable):
    """This writer is one no more, for good: somebody else may write meanwhile. Open a new one."""


class StoreRefused(HistoryError):
    """This database cannot be used as it is: a newer schema than ours, a network file system, no such database."""


class Moved(HistoryError):
    """Somebody has set another position in the log meanwhile: read it anew. Nothing was kept."""


class Key(msgspec.Struct, frozen=True, gc=False):
    """What tells requests apart. An id may be used again by another event once its Job has gone.

    `id`: `subject` of the lifecycle events. `cause`: the id of the event that asked for it. `source`: its source.
    """

    id: str
    cause: str
    source: str


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request as its last event left it. A schedule is one, too: its phase is `scheduled`, then `unscheduled`.

    `job_uid` tells a request from the same request asked for again after its Job had gone, which begins anew.
    `reason`: what it waits for, or its stall's error code. `cpu` and `memory`: cores and bytes that one pod asks for.
    """

    key: Key
    phase: Phase
    created: float
    updated: float
    pk: int = 0
    function: str | None = None
    service: str | None = None
    namespace: str | None = None
    job: str | None = None
    job_uid: str | None = None
    reason: str | None = None
    terminal: bool = False
    attempt: int = 1
    image: str | None = None
    cpu: float | None = None
    memory: int | None = None
    gpus: int | None = None
    priority: int | None = None
    event_time: float | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    error_code: str | None = None
    message: str | None = None
    result: bytes | None = None
    """JSON."""
    peak_cpu: float | None = None
    peak_memory: int | None = None
    replay_of: str | None = None


class PodRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod of a request."""

    uid: str
    name: str
    namespace: str
    node: str | None = None
    index: int | None = None
    attempt: int | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    reason: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A lifecycle event, read for the record.

    `id`: the event's; a repeat has the same. `changes`: fields of `Request` that it sets. `tags`: None where the event
    says nothing of them. `body`: the structured CloudEvent, JSON. `run`: seconds that it ran, where this is its end.
    `asked`: who asked for the request, where the event says it.
    """

    id: str
    key: Key
    phase: Phase
    time: float
    changes: Mapping[str, Any]
    body: bytes
    tags: tuple[str, ...] | None = None
    pod: PodRun | None = None
    run: float | None = None
    asked: "Action | None" = None


class Action(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who asked for what, and what came of it: the answer to a control event, or the first event of a request.

    `id`: that event's. `actor`: in words of whoever sent it. `verb` and `outcome`: of a control event those of its
    answer; of a request `submit`, or `again` where it repeats another, and the phase of the event.
    """

    id: str
    time: float
    actor: str | None
    verb: str | None
    request_id: str | None
    outcome: str
    code: str | None = None


class WantedActions(msgspec.Struct, frozen=True, kw_only=True):
    """Which actions. None means all. `newer`, `older`: of their times, from and up to. `request`: its id."""

    actor: str | None = None
    verb: str | None = None
    request: str | None = None
    outcome: str | None = None
    newer: float | None = None
    older: float | None = None


ANY_ACTION = WantedActions()


class ActionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Actions, newest first. `next`: a token for what follows, as of `Page`."""

    actions: Sequence[Action]
    next: str | None = None


class Unreadable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record of the log that cannot be read, kept as bytes."""

    sequence: int
    time: float
    reason: str
    body: bytes


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one broker's log in their order, and the position after the last of them."""

    cursor: Cursor
    entries: Sequence[Entry] = ()
    actions: Sequence[Action] = ()
    unreadable: Sequence[Unreadable] = ()


class LogState(StrEnum):
    """What there is of a container's log."""

    WHOLE = "whole"
    CUT = "cut"
    """Its middle was left out: `dropped` bytes."""
    GROWING = "growing"
    """The container may write more."""
    MISSING = "missing"
    """Not to be had: `reason` says why."""
    EXPIRED = "expired"
    """Was kept, and is gone for its age or for room."""


class KeptLog(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The log of a container. It is stored in chunks; `head` of them stand before the gap, where there is one.

    `bytes`: what is kept. `dropped`: bytes left out between head and tail. `chunks`: numbers of the stored chunks in
    their order.
    """

    pod: str
    container: str
    state: LogState
    bytes: int = 0
    dropped: int = 0
    head: int = 0
    chunks: tuple[int, ...] = ()
    reason: str | None = None
    read: float = 0.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests. None and empty mean all. `newer`, `older`: of `updated`, from and up to.

    `text`: the beginning of the id.
    """

    phases: tuple[Phase, ...] = ()
    service: str | None = None
    tag: str | None = None
    id: str | None = None
    source: str | None = None
    text: str | None = None
    newer: float | None = None
    older: float | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, those that changed last first. `next`: a token for what follows; None at the end.

    Where no index knows the answer, a page ends with its bound: there may be fewer requests than the limit, even none,
    and yet a `next`.
    """

    requests: Sequence[Request]
    next: str | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stored event. `position`: in the record, in the order of recording. `body`: the structured CloudEvent, JSON."""

    position: int
    request: int
    id: str
    phase: Phase
    time: float
    body: bytes


class Change(msgspec.Struct, frozen=True, gc=False):
    """That an event changed a request. `position`: of the event in the record. `event`: its id."""

    position: int
    request: int
    event: str


class Tagged(msgspec.Struct, frozen=True, gc=False):
    """A request and its tags. `packed`: they are a JSON array, or None; few ask for them."""

    request: Request
    packed: str | None = None


class Stat(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the requests of a service came to in an hour (`hour`: its beginning). Sums of seconds.

    `n`: events of this phase: `created`, `rejected`, or an end. `wait`: from created to started. `cpu`: cores of its
    peak times the seconds it ran.
    """

    hour: int
    service: str
    phase: Phase
    n: int
    wait: float = 0.0
    run: float = 0.0
    cpu: float = 0.0


class Day(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the requests of a service came to in a day in UTC (`day`: its beginning). Sums of seconds.

    Counts are those of `Stat`, as are `wait`, `run` and `cpu`. `waits`, `runs`: how the same seconds are spread, as of
    `handler.history.spreads`, of those requests that have waited and run.
    """

    day: int
    service: str
    created: int = 0
    rejected: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    wait: float = 0.0
    run: float = 0.0
    cpu: float = 0.0
    waits: Mapping[int, int] = {}
    runs: Mapping[int, int] = {}


class BadCursor(HistoryError):
    """A page token that is not ours, or was made for another question."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What `prune` deleted. `logs`: whose chunks are gone. `failed`: logs that stay, as their chunks do elsewhere.

    `more`: whether something is left that is to go and did not fail. `seconds`: how long recording had to wait.
    """

    requests: int
    logs: Sequence[KeptLog] = ()
    failed: int = 0
    more: bool = False
    seconds: float = 0.0


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a database that is a file. `used`: of its pages with something in them. `spare`: of its empty pages.

    The file grows only when no page is empty. `free`: what is left on its volume.
    """

    used: int
    spare: int
    free: int


class Reader(Protocol):
    """Answers questions. Any number of processes read at the same time. Each method raises `StoreUnavailable`."""

    async def page(self, wanted: Wanted, *, limit: int, after: str | None = None, results: bool = True) -> Page:
        """A page by key: never an OFFSET, never a count. Raises `BadCursor`.

        `results`: False reads none, each of which may have 64 KiB: `result` is None.
        """
        ...

    async def request(self, pk: int) -> Request | None: ...
    async def find(self, request_id: str, source: str | None = None) -> Sequence[Request]:
        """All of this id, newest first; at most 100."""
        ...

    async def tags(self, pk: int) -> Sequence[str]: ...
    async def events(self, pk: int, *, after: int = 0, limit: int = 1000) -> Sequence[Told]:
        """Of a request, in the order of recording, after this position."""
        ...

    async def since(self, position: int, *, limit: int = 1000) -> Sequence[Told]:
        """Of all requests, in the order of recording, after this position."""
        ...

    async def last(self) -> int:
        """The highest position of a recorded event; 0 if there is none."""
        ...

    async def changes(self, position: int, *, limit: int = 1000) -> Sequence[Change]:
        """Of which requests `since` would tell, and where. Cheaper: no event is read."""
        ...

    async def requests(self, pks: Sequence[int]) -> Sequence[Tagged]:
        """Those of these that are there, without results, in no order; ask for at most 1000."""
        ...

    async def latest(self, pk: int, phase: Phase) -> Told | None:
        """The last event of this phase of a request. Soon found where few others follow it."""
        ...

    async def latest_of(self, pks: Sequence[int], phase: Phase) -> Sequence[Told]:
        """The last event of this phase of each of these requests that has one; of at most 1000 of them."""
        ...

    async def pods(self, pk: int) -> Sequence[PodRun]: ...
    async def logs(self, pod: str) -> Sequence[KeptLog]:
        """Of the pod with this uid: one for each container."""
        ...

    async def chunk(self, pod: str, container: str, number: int) -> bytes | None:
        """A chunk that is kept in the database; None if there is none."""
        ...

    async def asked(self, pk: int) -> bytes | None:
        """The event that asked for a request, a structured CloudEvent; None if it was not kept."""
        ...

    async def stats(self, *, newer: float | None = None, older: float | None = None) -> Sequence[Stat]: ...
    async def days(self, *, newer: float, older: float, service: str | None = None) -> Sequence[Day]:
        """Of the days that begin in this time, the newest first; of a day, by service."""
        ...

    async def totals(self, *, newer: float) -> Mapping[Phase, int]:
        """How many events `stats` has counted since, by phase."""
        ...

    async def held(self, phases: Sequence[Phase], *, most: int) -> Mapping[Phase, int]:
        """How many requests are in each of these phases now, counted to `most`."""
        ...

    async def actions(
        self, wanted: WantedActions = ANY_ACTION, *, limit: int = 100, after: str | None = None
    ) -> ActionPage:
        """A page by key. What no index knows is looked for among a bounded number. Raises `BadCursor`."""
        ...

    async def action(self, ids: Sequence[str]) -> Action | None:
        """The one that has one of these ids; None if none has."""
        ...

    async def position(self, broker: str) -> Cursor | None:
        """The position in the log of this broker up to which everything is recorded."""
        ...

    async def size(self) -> int | None:
        """Bytes of the database on disk; None in memory."""
        ...

    async def room(self) -> Room | None:
        """None where the database is in memory, or on a server: its volume is not ours to look after."""
        ...

    async def settle_position(self, broker: str, cursor: Cursor | None) -> None:
        """Have the log recorded again from after this position (None: from its first record).

        For operators: whoever records notices it at the next batch, or after some seconds.
        """
        ...

    async def prune(
        self,
        *,
        requests_before: float | None,
        logs_before: float | None,
        limit: int = 500,
        bodies: "Bodies | None" = None,
    ) -> Pruned:
        """Delete at most `limit` of the oldest requests (with all that is theirs) and of the oldest logs.

        What has not ended stays, whatever its age. A log that goes leaves its header, as `EXPIRED` and without chunks,
        until its request goes. With a request before `requests_before` goes what is older than the newest one that
        goes (where fewer than `limit` go: than `requests_before`): at most `limit` each of statistics, actions and
        unreadable records.

        `bodies`: chunks are deleted there first. A log for which that fails stays, and so does its request.
        """
        ...


class LogWriter(Protocol):
    """Notes pods and keeps their logs: the part of a `Writer` that this takes."""

    async def keep_pod(self, key: Key, pod: PodRun, *, created: float, asked: bytes | None = None) -> None:
        """Note a pod of a request. A request that is not recorded yet gets a row, as of `created`.

        `asked`: the event that asked for it, to be kept unless one is kept already.
        """
        ...

    async def keep_log(self, log: KeptLog, *, put: Mapping[int, bytes] = {}, drop: Sequence[int] = ()) -> None:
        """Note the log of a container whose pod is kept, with chunks to add to and to delete from the database."""
        ...


class Writer(LogWriter, Protocol):
    """Records. There is at most one at a time. Each method is one transaction and raises `StoreUnavailable`.

    Once the connection that holds the lock is lost, every method raises `LockLost`: open a new writer.
    """

    async def add(self, batch: Batch, *, broker: str, after: Cursor | None) -> int:
        """Record what is new of a batch, and its position, in one transaction. Returns how many events were new.

        An event whose id is known changes nothing. `after`: the position that the batch continues. Raises `Moved` when
        that is not the stored one.
        """
        ...


class Store(Reader, Protocol):
    """An open database: it can be read, and its writer can be had."""

    def writing(self) -> AbstractAsyncContextManager[Writer]:
        """Wait until nobody else writes; then be the writer within the block."""
        ...


class Bodies(Protocol):
    """Keeps chunks of logs outside of the database."""

    async def put(self, pod: str, container: str, number: int, body: bytes) -> None:
        """Raises `StoreUnavailable`."""
        ...

    async def get(self, pod: str, container: str, number: int) -> bytes | None: ...
    async def delete(self, pod: str, container: str, numbers: Sequence[int]) -> None: ...
