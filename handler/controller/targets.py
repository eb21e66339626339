"""Finds the Jobs and schedules that a command means. Changes nothing."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import islice

from events.jobs.attempts import attempt_name, next_key
from events.jobs.observed import Job, Schedule
from events.request.control import Command
from handler.controller.searches import Answer, Searches
from handler.controller.term import Term
from handler.controller.waitingroom import PutBack, Seat, WaitingRoom
from handler.effects.deliveries import Rejection
from handler.effects.services import Services

ANSWER_SECONDS = 15.0
"""Seconds beyond its time that a command waits for the API server to say which Jobs there are."""
ENOUGH = 1000
"""Jobs of one id that are looked at: of so many a command means several, whatever the others are."""
Target = Job | Schedule
"""What a command is carried out on."""


class Targets:
    """What a command's subject names, in one term of leadership."""

    def __init__(self, services: Services, term: Term) -> None:
        self._wait = services.settings.control_wait
        self._cache = term.cache
        self._searches = Searches(services)
        self._room = WaitingRoom()

    async def run(self) -> None:
        """Ask the API server what commands have to know, until cancelled."""
        await self._searches.run()

    async def of(self, command: Command, *, waited: float) -> list[Target]:
        """The Jobs and schedules meant. Waits for the first: a command may overtake its request.

        `waited`: seconds that it has waited before. Raises `Rejection`, and `PutBack` when others need the place.
        """
        found = self._known(command)
        if not found or _is_newer(found):
            found = await self._awaited(command, waited)
        if (sources := len({target.source for target in found})) > 1:
            raise Rejection("AMBIGUOUS", f"{sources} sources use this id: name the one that is meant as requestsource")
        return found

    def now(self, seen: Target) -> Target:
        """What it is by now. A Job that is no longer in the cache may have been followed by another attempt."""
        key = (seen.namespace, seen.name)
        if isinstance(seen, Schedule):
            return self._cache.schedules.get(key) or seen
        return self._cache.get(key) or self._cache.get(next_key(seen)) or seen

    def is_followed(self, job: Job) -> bool:
        """Whether the Job is still in the cache."""
        return self._cache.get((job.namespace, job.name)) is not None

    async def _awaited(self, command: Command, waited: float) -> list[Target]:
        """Look again whenever there is news, as long as the command may still wait.

        What the cache does not keep, Jobs that are done, is asked for when the command comes, and not again before it
        is refused.
        """
        until = time.monotonic() + max(0.0, self._wait - waited)
        asked, ended = False, _Ended(command)
        with self._room.seat(command.source) as seat, ExitStack() as waiting:
            waiting.enter_context(self._cache.awaited(command.subject, seat.news))
            while True:
                found = self._known(command) or ended.jobs or []
                if found and not _is_newer(found):
                    return found
                left = until - time.monotonic()
                if left <= 0 and (ended.jobs is not None or left <= -ANSWER_SECONDS):
                    # Until now a newer version might have taken the lead, and taken over this command.
                    raise _no_target(command, found)
                if seat.lost:
                    raise PutBack(self._room.delay())
                if not asked and (not waited or left <= 0):
                    asked = True
                    waiting.enter_context(self._asking(command, ended, seat))
                await _news(seat, left if left > 0 else left + ANSWER_SECONDS)

    def _asking(self, command: Command, ended: "_Ended", seat: Seat) -> AbstractContextManager[None]:
        def done(answer: Answer) -> None:
            ended.learn(answer)
            seat.news.set()

        return self._searches.asking([command.subject], group=command.source, done=done)

    def _known(self, command: Command) -> list[Target]:
        """The last attempt of each request of this id, and the schedules of this id."""
        subject, source = command.subject, command.request_source
        jobs = islice(self._cache.of_request(subject, source), ENOUGH)
        found: dict[tuple[str, str], Job] = {}
        for job in sorted(jobs, key=lambda job: job.attempt):
            found[job.namespace, attempt_name(job, 1)] = job
        schedules = islice(self._cache.schedules.of_request(subject, source), ENOUGH)
        return [*found.values(), *schedules]


class _Ended:
    """The Jobs meant that are done; None until that is known."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self.jobs: list[Target] | None = None

    def learn(self, answer: Answer) -> None:
        # The cache has all others: none without our finalizer.
        jobs = answer.get(self._command.subject, ())
        self.jobs = _of_its_source(self._command, (job for job in jobs if not job.has_finalizer))


async def _news(seat: Seat, seconds: float) -> None:
    seat.news.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await seat.news.wait()


def _is_newer(found: list[Target]) -> bool:
    return any(target.newer for target in found)


def _of_its_source(command: Command, found: Iterable[Target]) -> list[Target]:
    """Those of the source that the command names, or all if it names none."""
    return [target for target in found if command.request_source in (None, target.source)]


def _no_target(command: Command, found: list[Target]) -> Rejection:
    if found:
        return Rejection("NEWER_FORMAT", "the request belongs to a newer version of jobrelay")
    named = "subject names" if command.request_source is None else "subject and requestsource name"
    return Rejection("UNKNOWN", f"there is no Job of the request that its {named}")
