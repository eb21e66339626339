"""What is done to a Job or CronJob that is astray, and what is said about it. Does not find any."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from events.jobs.observed import Job, Schedule, Stray
from events.names import MANAGED_BY, Label
from handler.effects.repeating import until_answered
from handler.effects.services import Services
from handler.effects.writes import Writes
from handler.telemetry.logcontext import about, about_job, also
from k8s.base import Conflict, KubernetesError, LeadershipLost, Malformed, NotFound, Refused, Unavailable

logger = logging.getLogger(__name__)

SEARCH_SECONDS = 300.0
"""Seconds between searches for what lost its labels while nobody watched it, or nobody led."""
_PAUSES = (0.1, 0.5, 2.0)
"""Seconds after each `Conflict` before a search reads anew what it treats: the next search is minutes away."""
_WHY = {
    Stray.COPY: "a copy: its pods are made for another one",
    Stray.UNIDENTIFIED: "nothing in it says any more which request it is of",
}


class Treatment:
    """For one term of leadership. Raises what `Writes` raises."""

    def __init__(self, services: Services, writes: Writes) -> None:
        self._metrics = services.metrics
        self._instance = services.settings.instance
        self._writes = writes

    def is_ours(self, seen: Job | Schedule) -> bool:
        """Whether this installation made it, or its copy."""
        return seen.instance == self._instance

    async def treat(self, seen: Job | Schedule) -> None:
        """Let go of it if it is a stray, else put back the labels it has lost."""
        if isinstance(seen, Job):
            about_job(seen)
        else:
            about(namespace=seen.namespace, cron_job=seen.name)
            also(job_id=seen.request_id)
        why = _WHY.get(seen.stray) if seen.stray is not None else None
        if why is not None and seen.stray is not None:
            await self._writes.release(seen)
            self._metrics.disowned.labels(seen.stray).inc()
            logger.warning("let go without an event, %s", why)
        elif seen.lost_labels:
            if isinstance(seen, Job):
                await self._writes.restore_labels(seen)
            else:
                await self._writes.restore_schedule_labels(seen)
            self._metrics.labels_restored.inc()
            logger.warning("put back labels that it had lost: %s", ", ".join(name for name, _ in seen.lost_labels))


async def treat_found(treat: Callable[[], Awaitable[None]]) -> Unavailable | None:
    """Call `treat`, which reads one object and treats it, until no other write comes between.

    Never raises `Refused` or `Malformed`, and returns `Unavailable`: one that cannot be treated must not keep a search
    from the others.
    """
    for pause in (*_PAUSES, None):
        try:
            await treat()
        except NotFound:
            pass  # Nothing is left to be treated.
        except (Malformed, Refused) as error:
            logger.warning("it can neither have its labels back nor be let go: %s", error)
        except Unavailable as error:
            return error
        except Conflict as error:
            if pause is not None:
                await asyncio.sleep(pause)
                continue
            logger.warning("it changes all the time, trying again with the next search: %s", error)
        break
    return None


async def searching(search: Callable[[str], Awaitable[None]], namespaces: Iterable[str]) -> None:
    """Search each namespace at once, and then now and then, until cancelled. Raises `LeadershipLost` (in a group).

    None waits for another, where we may not list, say.
    """
    async with asyncio.TaskGroup() as group:
        for namespace in namespaces:
            group.create_task(_searching(partial(search, namespace)))


async def _searching(search: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await until_answered(search, complain=_complain)
        except LeadershipLost:
            raise
        except KubernetesError as error:
            _complain(error)
        await asyncio.sleep(SEARCH_SECONDS)


def _complain(error: Exception) -> None:
    about()
    logger.warning("cannot look for what has lost its labels, trying again later: %s", error)


def selectors_of_others(instance: str) -> tuple[str, str]:
    """Selectors that together match everything that the installation's own selector does not."""
    ours = f"{Label.INSTANCE}={instance}"
    return f"{Label.INSTANCE}!={instance}", f"{ours},{Label.MANAGED_BY}!={MANAGED_BY}"
