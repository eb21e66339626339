"""CronJobs with our finalizer as last seen, and which of them changed. Fed by reflectors. Decides nothing."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from events.jobs.observed import Schedule, Stray
from k8s.api.wire import ObjectMeta
from k8s.base import Key
from k8s.informer.reflector import Sink
from k8s.informer.requests import ByRequest
from k8s.informer.slices import in_slices


class ScheduleCache:
    """Reading never waits; the objects are immutable. Strays are kept apart: see `stray`.

    `requests`: all of them, strays too, by the ids of their requests.
    """

    def __init__(self) -> None:
        self.requests: ByRequest[Schedule] = ByRequest()
        self._schedules: dict[Key, Schedule] = {}
        self._left: set[Key] = set()
        self._changes: set[Key] = set()
        self._news = asyncio.Event()

    def all(self) -> Sequence[Schedule]:
        return [schedule for schedule in self._schedules.values() if schedule.stray is None]

    def get(self, key: Key) -> Schedule | None:
        schedule = self._schedules.get(key)
        return schedule if schedule is not None and schedule.stray is None else None

    def of_request(self, request_id: str, source: str | None = None) -> Iterator[Schedule]:
        """Those of this id; with `source`, those of this source."""
        return (one for one in self.requests.of(request_id, source) if one.stray is None)

    def stray(self, key: Key) -> Schedule | None:
        """The CronJob of this name that has our finalizer, but is no request's."""
        schedule = self._schedules.get(key)
        return schedule if schedule is not None and schedule.stray is not None else None

    def stray_keys(self) -> Sequence[Key]:
        """The keys of all such CronJobs."""
        return [key for key, schedule in self._schedules.items() if schedule.stray is not None]

    def has_left(self, key: Key) -> bool:
        """Whether a watch removed this CronJob while it had our finalizer: it may only have lost its labels."""
        return key in self._left

    def forget(self, key: Key) -> None:
        """It is known what became of a CronJob that has left."""
        self._left.discard(key)

    async def changed(self) -> set[Key]:
        """CronJobs that changed or left since the last call; waits for at least one. Only one task may call this."""
        await self._news.wait()
        self._news.clear()
        changes, self._changes = self._changes, set()
        return changes

    def assume(self, schedule: Schedule) -> None:
        """Take in the answer to our own PATCH before the watch delivers it, unless the cache has a newer version."""
        # A CronJob that the watch has removed meanwhile must not come back.
        if (schedule.namespace, schedule.name) in self._schedules:
            self.put(schedule)

    def put(self, schedule: Schedule) -> None:
        """Keep a newer version, or drop the CronJob if that has no finalizer any more. Ignore an older version."""
        key = (schedule.namespace, schedule.name)
        known = self._schedules.get(key)
        if known is not None and schedule.version <= known.version:
            return
        if schedule.has_finalizer and schedule.stray is not Stray.FOREIGN:
            self._left.discard(key)
            self.requests.put(schedule, known)
            self._schedules[key] = schedule
            self._note_change(key)
        elif known is not None:
            self.drop(key)

    def drop(self, key: Key) -> None:
        self.requests.drop(self._schedules.pop(key))
        self._note_change(key)

    def remove(self, uid: str, key: Key) -> None:
        """A watch does not show this CronJob any more."""
        known = self._schedules.get(key)
        if known is not None and known.uid == uid:
            self.drop(key)
            self._left.add(key)

    def kept(self, namespace: str) -> list[Schedule]:
        """All of this namespace, strays too."""
        return [schedule for (home, _), schedule in self._schedules.items() if home == namespace]

    def _note_change(self, key: Key) -> None:
        self._changes.add(key)
        self._news.set()


class ScheduleFeed(Sink[Schedule]):
    """The sink of one namespace's CronJobs."""

    def __init__(self, cache: ScheduleCache, namespace: str) -> None:
        self._cache = cache
        self._namespace = namespace

    def listing(self) -> list[tuple[Schedule, int]]:
        return []

    async def replaced(self, objects: Iterable[tuple[Schedule, int]], *, version: int) -> None:
        listed = set()
        async for schedule, _ in in_slices(objects):
            listed.add(schedule.name)
            self._cache.put(schedule)
        for schedule in self._cache.kept(self._namespace):
            if schedule.name not in listed:
                self._cache.remove(schedule.uid, (self._namespace, schedule.name))

    def changed(self, schedule: Schedule, version: int) -> None:
        self._cache.put(schedule)

    def removed(self, meta: ObjectMeta, version: int) -> None:
        self._cache.remove(meta.uid, (self._namespace, meta.name))

    def passed(self, version: int) -> None:
        """Nothing waits for CronJobs."""
