"""The loop around `handler.admission`: has decisions made about all Jobs that wait, and carried out."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter

import msgspec

from events.jobs.attempts import previous_key
from events.jobs.observed import Job
from events.jobs.queueing import read_queueing
from events.lifecycle.outcome import outcome
from events.lifecycle.transitions import Transition
from events.names import Reason
from events.phases import Phase
from handler.admission.data import Decisions, Entry, Limits, Snapshot, Waiting
from handler.admission.decision import admit
from handler.admission.places import Standing, entry_of, standing
from handler.admission.shares import Counts, Shares, named
from handler.controller.cycles import Cycles
from handler.controller.dependencies import Dependencies
from handler.controller.enacting import Enacting
from handler.controller.term import Term
from handler.effects.services import Services
from handler.settings.admission import AdmissionSettings
from k8s.base import Key

logger = logging.getLogger(__name__)

DECIDING = 0.25
"""The largest share of its time that a leader decides in: a decision about 10,000 Jobs stops all else for 20 ms."""
SLICE = 0.005
"""Seconds for which changes are taken in until other work goes on."""
_KEY, _REASON, _SERVICE = attrgetter("key"), attrgetter("reason"), attrgetter("service")
FOR_ROOM = frozenset({Reason.LIMIT, Reason.EXCLUSIVE, Reason.PRIORITY})
"""Reasons of Jobs that could run at once if no other Job did."""


class Admitting:
    """The waiting and active Jobs of one term, kept up to date by changes. Each decision is about all of them."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._metrics = services.metrics
        self._limits = limits_of(services.settings)
        self._own_keys = services.settings.keys == "service"
        self._max_queued, self._max_waiting = services.settings.max_queued, services.settings.max_waiting
        self._cache = term.cache
        self._writes = term.writes
        self._dependencies = Dependencies(services, term)
        self._cycles = Cycles()
        self._waiting: dict[Key, Entry] = {}
        self._active: dict[Key, Entry] = {}
        self._apart: dict[Key, tuple[Standing, str]] = {}
        """Standing and service of each Job that neither waits nor is active, see `_pair`."""
        self._reasons: dict[Key, Waiting] = {}
        self._enacting = Enacting(services, term, waiting=self._waiting_job, changed=self.changed)
        self._dirty: set[Key] = set()
        self._news = asyncio.Event()
        self._decided = False
        self._stale = True
        self._due_at: float | None = None

    def changed(self, keys: Iterable[Key]) -> None:
        """These Jobs have changed or are gone."""
        self._dirty |= set(keys)
        self._news.set()

    def queued(self, job: Job) -> list[Transition]:
        """The transition `queued` if the last decision left the Job waiting. Its id makes it one per reason."""
        waits = self._reasons.get((job.namespace, job.name))
        if waits is None or job.queued is None:
            return []
        position = {"position": waits.position} if waits.position else {}
        detail = {"attempt": job.attempt, "reason": str(waits.reason), **position}
        return [Transition(phase=Phase.QUEUED, suffix=str(waits.reason), time=job.created, detail=detail)]

    def counts(self) -> str | None:
        """For the Lease: `Counts` as JSON; None before the first decision."""
        return msgspec.json.encode(self._counted()).decode() if self._decided else None

    async def settle(self, job: Job) -> bool:
        """After a Job's terminal event, before its finalizer goes: write its outcome on the Jobs that wait for it.

        Returns whether that is done: else call it again, after other Jobs have had their turn.
        """
        end = outcome(job)
        if end is None:
            return True
        written, done = await self._dependencies.settle(job, str(end.phase))
        self.changed(written)
        return done

    async def run(self, notify: Callable[[Iterable[Key]], None]) -> None:
        """Decide whenever something changed that a decision depends on, until cancelled.

        `notify` gets the keys of Jobs that wait for another reason than before. Raises `LeadershipLost` (in a group).
        """
        self.changed(self._cache.keys())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dependencies.run(self.changed))
            group.create_task(self._cycles.run(self._reconsider))
            while True:
                while not self._refresh(seconds=SLICE):
                    await asyncio.sleep(0)
                if self._stale or self._is_due():
                    await asyncio.sleep(await self._round(notify, group))
                await self._wait()

    async def _round(self, notify: Callable[[Iterable[Key]], None], group: asyncio.TaskGroup) -> float:
        """Decide, and carry it out. Returns the seconds to pause before the next decision: all else needs time too."""
        begun = time.monotonic()
        with self._metrics.admission_seconds.time():
            decisions = self._decide()
        notify(self._remember(decisions))
        decided = time.monotonic()
        self._due_at = decisions.look_again
        # Decide again after any action: if it failed, perhaps no change will bring us back here.
        self._stale = await self._enacting.carry_out(decisions, group)
        self._dirty |= self._enacting.doubtful
        return max(0.0, begun + (decided - begun) / DECIDING - time.monotonic())

    def _reconsider(self) -> None:
        """Something that no Job says has changed."""
        self._stale = True
        self._news.set()

    def _refresh(self, *, seconds: float = math.inf) -> bool:
        """Take in what changed, for so long at most. Returns whether that is all.

        Most changes, such as the start of a pod, make no difference to admission.
        """
        self._news.clear()
        until = time.monotonic() + seconds
        while self._dirty:
            key = self._dirty.pop()
            before = self._waiting.pop(key, None), self._active.pop(key, None)
            self._apart.pop(key, None)
            self._classify(key)
            after = self._waiting.get(key), self._active.get(key)
            if before != after:
                self._stale = True
                self._cycles.changed(before, after, self._dependencies.wanted)
            if time.monotonic() >= until:
                break
        if not self._dirty:
            self._dirty.clear()  # An empty set still takes the memory of all that it had, such as a new leader's.
        return not self._dirty

    def _classify(self, key: Key) -> None:
        job, place = self._find(key)
        if job is None or place is Standing.OVER:
            self._dependencies.forget(key)
            self._enacting.forget(key)
            return
        if key in self._enacting.doubtful:
            place = Standing.ACTIVE  # It may run by now: until that is known, it takes room.
        self._dependencies.appeared(job)
        if place is Standing.WAITING:
            asked, own_keys = read_queueing(job.queueing), self._own_keys
            needs = self._dependencies.needs(job, asked)
            self._waiting[key] = entry_of(key, job, asked, needs=needs, own_keys=own_keys)
        elif place is Standing.ACTIVE:
            self._dependencies.forget(key)
            asked = read_queueing(job.queueing)
            self._active[key] = entry_of(key, job, asked, needs=None, own_keys=self._own_keys)
        else:
            self._apart[key] = _pair(place, job.service or "")

    def _find(self, key: Key) -> tuple[Job | None, Standing]:
        """The Job, None if it is not for us to admit, and its standing now."""
        job = self._cache.get(key)
        if job is None or job.newer:
            return None, Standing.OVER
        if self._enacting.is_refused(job):
            return job, Standing.SUSPENDED  # The API server refused our write, and the Job has not changed since.
        place, before = standing(job), previous_key(job)
        if place is Standing.WAITING and before is not None and self._cache.get(before) is not None:
            return job, Standing.COMING  # The attempt before it still has our finalizer.
        if place is Standing.WAITING and self._enacting.is_aside(key):
            return job, Standing.SUSPENDED
        return job, place

    def _waiting_job(self, key: Key) -> Job | None:
        """The Job if it waits now."""
        job, place = self._find(key)
        return job if place is Standing.WAITING else None

    def _decide(self) -> Decisions:
        active, waiting = list(self._active.values()), list(self._waiting.values())
        self._cycles.consider(active, waiting)
        snapshot = Snapshot(active=active, waiting=waiting, loops=self._cycles.loops, seen=self._dependencies.seen)
        return admit(snapshot, self._limits, self._cluster.server_time())

    def _remember(self, decisions: Decisions) -> list[Key]:
        """Remember which Jobs wait, and why. Returns those that wait for another reason than before."""
        before, waiting = self._reasons, decisions.waiting
        self._reasons = dict(zip(map(_KEY, waiting), waiting, strict=True))
        self._decided = True
        reasons = Counter(map(_REASON, waiting))
        for reason in Reason:
            self._metrics.queued.labels(str(reason)).set(reasons[reason])
        return [
            key
            for key, waits in self._reasons.items()
            if (former := before.get(key)) is None or former.reason is not waits.reason
        ]

    def _counted(self) -> Counts:
        # Jobs not decided about yet count as waiting for room: handlers rely on every Job being counted.
        otherwise = Counter(entry.service for key, entry in self._waiting.items() if self._waits_otherwise(key))
        queued, waiting = Counter(map(_SERVICE, self._waiting.values())) - otherwise, otherwise
        for (place, service), number in Counter(self._apart.values()).items():
            if place is Standing.COMING:
                queued[service] += number
            elif place is Standing.SUSPENDED:
                waiting[service] += number
        shares = Shares(queued=named(queued), waiting=named(waiting))
        return Counts(queued=queued.total(), waiting=waiting.total(), active=len(self._active), shares=shares)

    def _waits_otherwise(self, key: Key) -> bool:
        """Whether the last decision left the Job waiting for something other than room."""
        waits = self._reasons.get(key)
        return waits is not None and waits.reason not in FOR_ROOM

    def _is_due(self) -> bool:
        return self._due_at is not None and self._due_at <= self._cluster.server_time()

    async def _wait(self) -> None:
        """Wait until something changed, or a time has come that changes something."""
        delay = None if self._due_at is None else max(0.0, self._due_at - self._cluster.server_time())
        if self._dirty or self._stale:
            delay = 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._news.wait()


# Thousands of Jobs may stand alike, in a few services.
@lru_cache(maxsize=1024)
def _pair(place: Standing, service: str) -> tuple[Standing, str]:
    return place, service


def limits_of(settings: AdmissionSettings) -> Limits:
    """The limits of the installation, for admission."""
    return Limits(
        total=settings.max_active,
        per_service=settings.max_active_per_service,
        per_namespace=settings.max_active_per_namespace,
        per_key=settings.max_active_per_key,
        gpus=settings.max_active_gpus,
        ageing=settings.ageing_seconds,
    )
