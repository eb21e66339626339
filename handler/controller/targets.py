"""Finds the Jobs and schedules that a command means. Changes nothing."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import islice
from typing import TypeVar

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
T = TypeVar("T", Job, Schedule)


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
        _require_one(found)
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
        jobs = islice(_those_named(command, self._cache.of_request(subject, source)), ENOUGH)
        found: dict[tuple[str, str], Job] = {}
        for job in sorted(jobs, key=lambda job: job.attempt):
            found[job.namespace, attempt_name(job, 1)] = job
        schedules = islice(_those_named(command, self._cache.schedules.of_request(subject, source)), ENOUGH)
        return [*found.values(), *schedules]


class _Ended:
    """The Jobs meant that are done; None until that is known."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self.jobs: list[Target] | None = None

    def learn(self, answer: Answer) -> None:
        # The cache has all others: none without our finalizer.
        jobs = answer.get(self._command.subject, ())
        done = (job for job in jobs if not job.has_finalizer and self._command.request_source in (None, job.source))
        self.jobs = list(_those_named(self._command, done))


async def _news(seat: Seat, seconds: float) -> None:
    seat.news.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await seat.news.wait()


def _is_newer(found: list[Target]) -> bool:
    return any(target.newer for target in found)


def _those_named(command: Command, found: Iterable[T]) -> Iterator[T]:
    """Those of the namespace and name that the command names; a Job also by the name of another attempt."""
    for target in found:
        first = attempt_name(target, 1) if isinstance(target, Job) else target.name
        named = command.job_name
        attempt = named[len(first) + 1 :] if named and isinstance(target, Job) and named.startswith(f"{first}-") else ""
        if command.job_namespace in (None, target.namespace) and (named in (None, first) or attempt.isdigit()):
            yield target


def _require_one(found: Sequence[Target]) -> None:
    """Raises `Rejection` if several are meant. Those of one source that are done are all told alike: it has ended."""
    if (sources := len({target.source for target in found})) > 1:
        raise Rejection("AMBIGUOUS", f"{sources} sources use this id: name the one that is meant as requestsource")
    if len(found) > 1 and any(target.has_finalizer for target in found):
        text = f"{len(found)} Jobs have this id and source: name the one that is meant as jobname and jobnamespace"
        raise Rejection("AMBIGUOUS", text)


def _no_target(command: Command, found: list[Target]) -> Rejection:
    if found:
        return Rejection("NEWER_FORMAT", "the request belongs to a newer version of jobrelay")
    given = {
        "requestsource": command.request_source,
        "jobname": command.job_name,
        "jobnamespace": command.job_namespace,
    }
    *most, last = ["subject", *(name for name, value in given.items() if value is not None)]
    named = f"{', '.join(most)} and {last} name" if most else f"{last} names"
    return Rejection("UNKNOWN", f"there is no Job of the request that its {named}")
