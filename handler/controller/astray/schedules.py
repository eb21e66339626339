"""Finds CronJobs with our finalizer that are not followed. There are few: a search reads all that others have."""

from functools import partial

from events.jobs.observed import Schedule
from handler.controller.astray.treatment import Treatment, selectors_of_others, treat_found
from handler.controller.term import Term
from handler.effects.services import Services
from handler.telemetry.logcontext import about
from k8s.base import Key
from k8s.reading.cronjob import schedule_of


class AstraySchedules:
    """In one term of leadership."""

    def __init__(self, services: Services, term: Term) -> None:
        self._services = services
        self._selectors = selectors_of_others(services.settings.instance)
        self._cache = term.cache.schedules
        self._treatment = Treatment(services, term.writes)

    async def attend(self, key: Key) -> None:
        """Do what is to be done about a CronJob that is not followed (any more). Raises what `Writes` raises."""
        stray = self._cache.stray(key)
        if stray is not None:
            await self._treatment.treat(stray)
        elif self._cache.has_left(key):
            await self.search(key[0])
            self._cache.forget(key)

    async def search(self, namespace: str) -> None:
        """Treat all in it that this installation made and no watch shows. Raises what `Writes` raises."""
        failed = None
        for selector in self._selectors:
            for schedule in await self._services.cluster.find_schedules((namespace,), selector):
                if self._is_astray(schedule):
                    about(namespace=namespace, cron_job=schedule.name)
                    failed = await treat_found(partial(self._read, (namespace, schedule.name))) or failed
        if failed is not None:
            raise failed

    async def _read(self, key: Key) -> None:
        schedule = schedule_of(await self._services.cluster.read_cron_job(*key))
        if self._is_astray(schedule):
            await self._treatment.treat(schedule)

    def _is_astray(self, schedule: Schedule) -> bool:
        return schedule.has_finalizer and not schedule.newer and self._treatment.is_ours(schedule)
