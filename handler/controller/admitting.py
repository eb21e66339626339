"""The loop around `handler.admission`: releases Jobs, and fails those that can never run. Makes no decision itself."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from operator import attrgetter

import msgspec

from events.jobs.attempts import previous_key
from events.jobs.observed import Job, Verdict
from events.jobs.queueing import read_queueing
from events.lifecycle.outcome import outcome
from events.lifecycle.transitions import Transition
from events.names import Reason
from events.phases import Phase
from handler.admission.data import Decisions, Entry, Fail, Limits, Snapshot, Waiting
from handler.admission.decision import admit
from handler.admission.places import Standing, entry_of, standing
from handler.admission.shares import Counts, Shares, named
from handler.controller.cycles import Cycles
from handler.controller.dependencies import Dependencies
from handler.controller.slots import Slots
from handler.controller.term import Term
from handler.effects.repeating import until_answered
from handler.effects.services import Services
from handler.settings.admission import AdmissionSettings
from handler.telemetry.logcontext import about, about_job
from k8s.api.clock import backoff
from k8s.base import Conflict, Key, Malformed, NotFound, Refused, Unavailable

logger = logging.getLogger(__name__)

Action = Callable[[Job], Awaitable[None]]
WRITES_AT_ONCE = 64
ROUND_SECONDS = 0.5
"""Seconds that a decision's writes may hold up the next one. A Job whose write takes longer counts as active."""
DECIDING = 0.25
"""The largest share of its time that a leader decides in: a decision about 10,000 Jobs stops all else for 20 ms."""
SLICE = 0.005
"""Seconds for which changes are taken in until other work goes on."""
_KEY, _REASON = attrgetter("key"), attrgetter("reason")
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
        self._standing: dict[Key, tuple[Standing, str]] = {}
        """Each Job's standing and service."""
        self._waiting: dict[Key, Entry] = {}
        self._active: dict[Key, Entry] = {}
        self._reasons: dict[Key, Waiting] = {}
        self._refused: dict[Key, str] = {}
        self._doubtful: set[Key] = set()
        self._aside: dict[Key, tuple[int, float]] = {}
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
        self._stale = await self._carry_out(decisions, group)
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
            self._standing.pop(key, None)
            self._classify(key)
            after = self._waiting.get(key), self._active.get(key)
            if before != after:
                self._stale = True
                self._cycles.changed(before, after, self._dependencies.wanted)
            if time.monotonic() >= until:
                break
        return not self._dirty

    def _classify(self, key: Key) -> None:
        job, place = self._find(key)
        if job is None or place is Standing.OVER:
            self._dependencies.forget(key)
            self._refused.pop(key, None)
            self._aside.pop(key, None)
            return
        if key in self._doubtful:
            place = Standing.ACTIVE  # It may run by now: until that is known, it takes room.
        self._standing[key] = (place, job.service or "")
        self._dependencies.appeared(job)
        if place is Standing.WAITING:
            asked, own_keys = read_queueing(job.queueing), self._own_keys
            needs = self._dependencies.needs(job, asked)
            self._waiting[key] = entry_of(key, job, asked, needs=needs, own_keys=own_keys)
        elif place is Standing.ACTIVE:
            self._dependencies.forget(key)
            asked = read_queueing(job.queueing)
            self._active[key] = entry_of(key, job, asked, needs=None, own_keys=self._own_keys)

    def _find(self, key: Key) -> tuple[Job | None, Standing]:
        """The Job, None if it is not for us to admit, and its standing now."""
        job = self._cache.get(key)
        if job is None or job.newer:
            return None, Standing.OVER
        if self._refused.get(key) == job.version:
            return job, Standing.SUSPENDED  # The API server refused our write, and the Job has not changed since.
        place, before = standing(job), previous_key(job)
        if place is Standing.WAITING and before is not None and self._cache.get(before) is not None:
            return job, Standing.COMING  # The attempt before it still has our finalizer.
        if place is Standing.WAITING and self._is_aside(key):
            return job, Standing.SUSPENDED
        return job, place

    def _is_aside(self, key: Key) -> bool:
        """Whether our writes of it fail, and it has to let others go first for a while."""
        return key in self._aside and asyncio.get_running_loop().time() < self._aside[key][1]

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
        standing = Counter(self._standing.values())
        # Jobs not decided about yet count as waiting for room: handlers rely on every Job being counted.
        otherwise = Counter(entry.service for key, entry in self._waiting.items() if self._waits_otherwise(key))
        queued, waiting, active = Counter[str](), otherwise.copy(), 0
        for (place, service), number in standing.items():
            if place in {Standing.WAITING, Standing.COMING}:
                queued[service] += number
            elif place is Standing.SUSPENDED:
                waiting[service] += number
            elif place is Standing.ACTIVE:
                active += number
        queued -= otherwise
        shares = Shares(queued=named(queued, self._max_queued), waiting=named(waiting, self._max_waiting))
        return Counts(queued=queued.total(), waiting=waiting.total(), active=active, shares=shares)

    def _waits_otherwise(self, key: Key) -> bool:
        """Whether the last decision left the Job waiting for something other than room."""
        waits = self._reasons.get(key)
        return waits is not None and waits.reason not in FOR_ROOM

    async def _carry_out(self, decisions: Decisions, group: asyncio.TaskGroup) -> bool:
        """Make the writes. Returns whether there were any.

        Those that hang go on in `group`. Each Job is in doubt until it is known whether its write was done.
        """
        actions: list[tuple[Key, Action]] = [(release.key, self._admit) for release in decisions.released]
        actions += [(fail.key, partial(self._fail, why=fail)) for fail in decisions.failed]
        if not actions:
            return False
        self._doubtful |= {key for key, _ in actions}
        await asyncio.wait({group.create_task(self._act_on_all(actions))}, timeout=ROUND_SECONDS)
        self._dirty |= self._doubtful
        return True

    async def _act_on_all(self, actions: Iterable[tuple[Key, Action]]) -> None:
        """Some at a time."""
        slots = Slots(WRITES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for key, action in actions:
                await slots.free()
                slots.start(group, self._settle_doubt(key, action))

    async def _settle_doubt(self, key: Key, action: Action) -> None:
        await self._act(key, action)
        self._doubtful.discard(key)
        self.changed([key])

    async def _act(self, key: Key, action: Action) -> None:
        """Do it unless the Job no longer waits: a command, say, may be faster than the many writes of one decision."""
        about(namespace=key[0], job=key[1])
        job, place = self._find(key)
        if job is None or place is not Standing.WAITING:
            return
        about_job(job)
        try:
            await action(job)
        except (Conflict, NotFound):
            await self._read_again(key)
        except Unavailable as error:
            # It may have happened all the same: only the API server knows whether a released Job takes room now.
            logger.warning("what admission decided came to no answer: %s", error)
            await self._read_again(key)
            self._stand_aside(key)
        except (Refused, Malformed) as error:
            self._refuse(job, error)
        else:
            self._aside.pop(key, None)

    async def _admit(self, job: Job) -> None:
        await self._writes.admit(job)
        self._metrics.admitted.inc()
        logger.info("admitted")

    async def _fail(self, job: Job, *, why: Fail) -> None:
        at = self._cluster.server_time()
        verdict = Verdict(phase=Phase.FAILED, error_code=why.code, message=why.message, at=at)
        await self._writes.give_verdict(job, verdict)
        self._metrics.verdicts.labels(why.code).inc()
        logger.info("verdict: %s", why.message, extra={"code": why.code})

    def _refuse(self, job: Job, error: Exception) -> None:
        """Do not try again until the Job changes: a Job that an admission webhook refuses must not hold up others."""
        logger.error("the API server refuses what admission decided: %s", error)
        self._refused[job.namespace, job.name] = job.version

    def _stand_aside(self, key: Key) -> None:
        """Let others go first, longer with each failure: it would be the first again and again."""
        failures = self._aside.get(key, (0, 0.0))[0] + 1
        delay, loop = backoff(failures), asyncio.get_running_loop()
        self._aside[key] = failures, loop.time() + delay
        loop.call_later(delay, self.changed, [key])

    async def _read_again(self, key: Key) -> None:
        """Repeat until the API server says what the Job is now: no decision may be made without knowing that."""
        with suppress(NotFound):
            await until_answered(lambda: self._writes.reread(key))

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
