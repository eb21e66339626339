"""Keeps a sink up to date with a resource of one namespace: list, watch, resume, list again. Keeps no objects."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec import Raw

from k8s.api.client import Client
from k8s.api.clock import backoff, boottime
from k8s.api.paging import Paging
from k8s.api.wire import ObjectMeta, WatchEvent, decode_event, decode_page, meta_or_empty
from k8s.base import Cause, Expired, KubernetesError, Malformed, Unavailable
from k8s.informer.slices import in_slices
from k8s.reading.metadata import number

logger = logging.getLogger(__name__)

T = TypeVar("T")

_POISON_REMEMBERED = 1000
LAG_SECONDS = 5.0
"""After more silence than this, the server may deliver bit by bit what a watch has missed. For that long after the
watch is back, its events do not count as up to date.
"""


class Listing(Protocol[T]):
    """Objects of a list, or what the sink needs of them; a `list` is one."""

    def append(self, item: tuple[T, int], /) -> None: ...

    def __iter__(self) -> Iterator[tuple[T, int]]: ...


class Sink(Protocol[T]):
    """Receives objects, each with its resourceVersion as a number. To be subclassed."""

    def listing(self) -> Listing[T]:
        """What keeps the objects of a list until all of its pages have come."""
        ...

    async def replaced(self, objects: Listing[T], *, version: int) -> None:
        """These were all at `version`: any other object is gone. Lets others run after every few objects."""
        ...

    def has(self, meta: ObjectMeta, version: int) -> bool:
        """Whether it has had this version of the object, or a newer one: then that is not read again.

        A watch also brings what our own writes were answered with, and a new leader lists what it has watched before.
        """
        return False

    def kept(self, meta: ObjectMeta) -> T | None:
        """The object of which it `has` a version, if it keeps that."""
        return None

    def changed(self, changed: T, /, version: int) -> None: ...

    def removed(self, meta: ObjectMeta, version: int) -> None:
        """It was deleted, or is malformed now."""
        ...

    def passed(self, version: int) -> None:
        """All changes up to this version have been delivered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """Seconds.

    `silence`: after that long without a byte a watch counts as dead (bookmarks come about once a minute). `session`:
    how long we ask a watch to last, a fifth of it random. `idle`: a watch that ends sooner, without an event, failed.
    """

    silence: float = 120.0
    session: float = 300.0
    idle: float = 1.0


class Reflector(Generic[T]):
    """A resource (`path` names its collection) under a label selector. `parse` raises `Malformed`.

    `seen`: the API server's time, epoch seconds, when a list was requested, or an event or bookmark came that was up to
    date. The sink has received everything before that, except for what was on its way just then. `quiet`: seconds since
    any sign of life. `problem`: why it is behind, None if it is not; `refused`: because we may not list or watch here.
    `errors` counts malformed objects, `relists` the
    lists after the first.
    """

    def __init__(
        self,
        client: Client,
        *,
        path: str,
        selector: str,
        parse: Callable[[Raw], T],
        sink: Sink[T],
        timing: WatchTiming,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._path = path
        self._selector = selector
        self._parse = parse
        self._sink = sink
        self._timing = timing
        self._rng = rng
        self._version = ""
        self._attempt = 0
        self._fruitless = 0
        self._asked = 0
        self._answered = -1
        self._round = asyncio.Event()
        self._watching: asyncio.Timeout | None = None
        self._poison: set[tuple[str, str]] = set()
        self._seen_at = boottime()
        self._in_step_at = 0.0
        self.seen = 0.0
        self.problem: str | None = "not listed yet"
        self.refused = False
        self.errors = 0
        self.relists = 0

    @property
    def quiet(self) -> float:
        return boottime() - self._seen_at

    async def run(self) -> None:
        """List and watch, until cancelled."""
        while True:
            asked = self._asked
            try:
                await self._list()
            except KubernetesError as error:
                await self._pause(error)
                continue
            self._listed(asked)
            if asked == self._asked:
                # The timeout expires only if `resync` reschedules it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(None) as self._watching:
                        await self._follow()
                self._watching = None
            self.relists += 1

    async def synced(self) -> None:
        """Wait for the first list, or until it is refused."""
        while self._answered < 0 and not self.refused:
            await self._round.wait()

    async def resync(self) -> None:
        """List again now, and wait for that: on return, the sink has all that existed at the call, or it is refused."""
        self._asked += 1
        mine = self._asked
        if self._watching is not None:
            self._watching.reschedule(asyncio.get_running_loop().time())
            self._watching = None
        while self._answered < mine and not self.refused:
            await self._round.wait()

    def _listed(self, asked: int) -> None:
        self._answered = asked
        self._wake()

    def _wake(self) -> None:
        done, self._round = self._round, asyncio.Event()
        done.set()

    async def _follow(self) -> None:
        """Watch, connection after connection, until only a new list helps."""
        while True:
            begun, version = boottime(), self._version
            try:
                await self._watch(version)
                if version == self._version and boottime() - begun < self._timing.idle:
                    raise Unavailable("the watch ended at once")
            except Expired:
                logger.info("version %s of %s is too old, listing again", version, self._path)
                await self._pause_before_list()
                return
            except Unavailable as error:
                await self._pause(error)
            except KubernetesError as error:
                await self._pause(error)
                return

    async def _pause_before_list(self) -> None:
        """Wait before a list that an expired version makes necessary: not the first time, but if it keeps happening."""
        self._fruitless += 1
        if self._fruitless > 1:
            await asyncio.sleep(backoff(self._fruitless - 1, rng=self._rng))

    async def _list(self) -> None:
        """Read page after page of one consistent state. Raises `Expired` if that state was compacted meanwhile."""
        asked, asked_at = self._client.server_time(), boottime()
        params = {"labelSelector": self._selector}
        found, paging = self._sink.listing(), Paging()
        while True:
            answer = await self._client.request("GET", self._path, params=params | {"limit": str(paging.limit)})
            page = decode_page(answer)
            items = page.items or []
            for item in self._readable(items):
                found.append(item)
            if not page.metadata.continue_:
                break
            paging.took(len(answer), len(items))
            params["continue"] = page.metadata.continue_
        self._version = page.metadata.resource_version
        await self._sink.replaced(found, version=number(self._version))
        self._alive(asked, asked_at)

    async def _watch(self, version: str) -> None:
        """Watch from `version` on, until the connection ends."""
        session = self._timing.session * (0.8 + 0.2 * self._rng.random())
        params = {
            "watch": "1",
            "labelSelector": self._selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(session))),
        }
        rest = b""
        async with self._client.stream(self._path, params=params, silence=self._timing.silence) as pieces:
            self._answered_well()  # This is no sign of life: no event has come yet.
            if self.quiet > LAG_SECONDS:
                self._in_step_at = boottime() + LAG_SECONDS
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                await self._read_lines(lines)
                # The next one may be a minute away, and a burst of events takes megabytes.
                del piece, lines

    async def _read_lines(self, lines: list[bytes]) -> None:
        async for line in in_slices(filter(bytes.strip, lines)):
            self._event(line)
        if not lines:
            return
        # Only now: the sink has received all events that came together.
        now = boottime()
        self._alive(self._client.server_time() if now >= self._in_step_at else self.seen, now)

    def _event(self, line: bytes) -> None:
        try:
            event = decode_event(line)
        except Malformed:
            self.errors += 1
            raise
        self._fruitless = 0
        meta = meta_or_empty(event.object)
        if event.type != "BOOKMARK":
            self._pass_on(event, meta)
        if meta.resource_version:
            self._version = meta.resource_version
            self._sink.passed(number(self._version))

    def _pass_on(self, event: WatchEvent, meta: ObjectMeta) -> None:
        version = number(meta.resource_version)
        if event.type != "DELETED" and self._sink.has(meta, version):
            return
        found = None if event.type == "DELETED" else self._parsed(event.object)
        if found is None:
            self._sink.removed(meta, version)
        else:
            self._sink.changed(found, version)

    def _readable(self, items: list[Raw]) -> Iterator[tuple[T, int]]:
        for raw in items:
            meta = meta_or_empty(raw)
            version = number(meta.resource_version)
            found = self._sink.kept(meta) if self._sink.has(meta, version) else self._parsed(raw)
            if found is not None:
                yield found, version

    def _parsed(self, raw: Raw) -> T | None:
        """The object, or None if it is malformed: that is counted, and logged once for each version."""
        try:
            return self._parse(raw)
        except Malformed as error:
            self.errors += 1
            meta = meta_or_empty(raw)
            if (meta.uid, meta.resource_version) not in self._poison:
                if len(self._poison) >= _POISON_REMEMBERED:
                    self._poison.clear()
                self._poison.add((meta.uid, meta.resource_version))
                logger.warning("%s/%s is left out: %s", meta.namespace, meta.name, error)
            return None

    def _alive(self, server_time: float, at: float) -> None:
        self.seen = server_time
        self._seen_at = at
        self._attempt = 0
        self._answered_well()

    def _answered_well(self) -> None:
        if self.problem is not None:
            logger.info("following %s", self._path)
        self.problem, self.refused = None, False

    async def _pause(self, error: KubernetesError) -> None:
        self._attempt += 1
        if self.problem != str(error):
            logger.warning("cannot follow %s, trying again: %s", self._path, error)
        self.problem = str(error)
        self.refused = isinstance(error, Unavailable) and error.cause is Cause.PERMISSION
        if self.refused:
            self._wake()
        retry_after = error.retry_after if isinstance(error, Unavailable) else None
        await asyncio.sleep(backoff(self._attempt, retry_after=retry_after, rng=self._rng))
