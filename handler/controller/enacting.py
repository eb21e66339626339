"""Writes what admission has decided: releases Jobs, and fails those that can never run. Makes no decision itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

from events.jobs.observed import Job, Verdict
from events.phases import Phase
from handler.admission.data import Decisions, Fail
from handler.controller.slots import Slots
from handler.controller.term import Term
from handler.effects.repeating import until_answered
from handler.effects.services import Services
from handler.telemetry.logcontext import about, about_job
from k8s.api.clock import backoff
from k8s.base import Conflict, Key, Malformed, NotFound, Refused, Unavailable

logger = logging.getLogger(__name__)

Action = Callable[[Job], Awaitable[None]]
WRITES_AT_ONCE = 64
ROUND_SECONDS = 0.5
"""Seconds that a decision's writes may hold up the next one. A Job whose write takes longer counts as active."""


class Enacting:
    """`doubtful`: Jobs of which it is not known whether a write was done.

    `waiting` says which Job waits under a key, and `changed` is told of each that was written.
    """

    def __init__(
        self,
        services: Services,
        term: Term,
        *,
        waiting: Callable[[Key], Job | None],
        changed: Callable[[Iterable[Key]], None],
    ) -> None:
        self.doubtful: set[Key] = set()
        self._cluster = services.cluster
        self._metrics = services.metrics
        self._writes = term.writes
        self._find = waiting
        self._changed = changed
        self._refused: dict[Key, int] = {}
        self._aside: dict[Key, tuple[int, float]] = {}

    def is_refused(self, job: Job) -> bool:
        """Whether the API server refused our write, and the Job has not changed since."""
        return self._refused.get((job.namespace, job.name)) == job.version

    def is_aside(self, key: Key) -> bool:
        """Whether our writes of it fail, and it has to let others go first for a while."""
        return key in self._aside and asyncio.get_running_loop().time() < self._aside[key][1]

    def forget(self, key: Key) -> None:
        """It does not wait any more."""
        self._refused.pop(key, None)
        self._aside.pop(key, None)

    async def carry_out(self, decisions: Decisions, group: asyncio.TaskGroup) -> bool:
        """Make the writes. Returns whether there were any.

        Those that hang go on in `group`. Each Job is in doubt until it is known whether its write was done.
        """
        actions: list[tuple[Key, Action]] = [(release.key, self._admit) for release in decisions.released]
        actions += [(fail.key, partial(self._fail, why=fail)) for fail in decisions.failed]
        if not actions:
            return False
        self.doubtful |= {key for key, _ in actions}
        await asyncio.wait({group.create_task(self._act_on_all(actions))}, timeout=ROUND_SECONDS)
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
        self.doubtful.discard(key)
        self._changed([key])

    async def _act(self, key: Key, action: Action) -> None:
        """Do it unless the Job no longer waits: a command, say, may be faster than the many writes of one decision."""
        about(namespace=key[0], job=key[1])
        job = self._find(key)
        if job is None:
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
        loop.call_later(delay, self._changed, [key])

    async def _read_again(self, key: Key) -> None:
        """Repeat until the API server says what the Job is now: no decision may be made without knowing that."""
        with suppress(NotFound):
            await until_answered(lambda: self._writes.reread(key))
