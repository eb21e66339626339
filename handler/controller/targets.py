"""Finds the Jobs and schedules that a command means. Changes nothing."""

import asyncio
import time

from events.identity import request_label
from events.jobs.attempts import attempt_name, next_key
from events.jobs.observed import Job, Schedule
from events.names import Label
from events.request.control import Command
from handler.controller.term import Term
from handler.effects.deliveries import Rejection
from handler.effects.services import Services
from k8s.base import Unavailable

LOOK_SECONDS = 0.2
"""Seconds between looks for a request that has no Job yet."""
Target = Job | Schedule
"""What a command is carried out on."""


class Targets:
    """What a command's subject names, in one term of leadership."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._namespaces = services.namespaces
        self._instance = services.settings.instance
        self._wait = services.settings.control_wait
        self._cache = term.cache

    async def of(self, command: Command) -> list[Target]:
        """The Jobs and schedules meant. Waits for the first: a command may overtake its request. Raises `Rejection`."""
        deadline = time.monotonic() + self._wait
        while not (found := await self._meant(command)) or any(target.newer for target in found):
            if time.monotonic() >= deadline:
                raise _no_target(command, found)
            # Meanwhile a newer version may take the lead, and take over this command.
            await asyncio.sleep(LOOK_SECONDS)
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

    async def _meant(self, command: Command) -> list[Target]:
        return _of_its_source(command, self._known(command)) or _of_its_source(command, await self._ended(command))

    def _known(self, command: Command) -> list[Target]:
        """The last attempt of each request of this id, and the schedules of this id."""
        found: dict[tuple[str, str], Job] = {}
        for job in sorted(self._cache.jobs(), key=lambda job: job.attempt):
            if job.request_id == command.subject:
                found[job.namespace, attempt_name(job, 1)] = job
        schedules = (schedule for schedule in self._cache.schedules.all() if schedule.request_id == command.subject)
        return [*found.values(), *schedules]

    async def _ended(self, command: Command) -> list[Target]:
        """Jobs that are done: the cache has none without our finalizer. Empty too if the API server does not answer."""
        labels = {Label.INSTANCE: self._instance, Label.REQUEST: request_label(command.subject)}
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        try:
            found = await self._cluster.find_jobs(self._namespaces, selector)
        except Unavailable:
            return []
        return [job for job in found if not job.has_finalizer]


def _of_its_source(command: Command, found: list[Target]) -> list[Target]:
    """Those of the source that the command names, or all if it names none."""
    return [target for target in found if command.request_source in (None, target.source)]


def _no_target(command: Command, found: list[Target]) -> Rejection:
    if found:
        return Rejection("NEWER_FORMAT", "the request belongs to a newer version of jobrelay")
    named = "subject names" if command.request_source is None else "subject and requestsource name"
    return Rejection("UNKNOWN", f"there is no Job of the request that its {named}")
