"""Finds CronJobs with our finalizer that are not followed. There are few: a search reads all that others have."""

from handler.controller.astray.treatment import Treatment, selectors_of_others
from handler.controller.term import Term
from handler.effects.services import Services
from k8s.base import Key


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
            await self.search()
            self._cache.forget(key)

    async def search(self) -> None:
        """Treat all that this installation made and no watch shows. Raises what `Writes` raises."""
        for selector in self._selectors:
            for schedule in await self._services.cluster.find_schedules(self._services.namespaces, selector):
                if schedule.has_finalizer and not schedule.newer and self._treatment.is_ours(schedule):
                    await self._treatment.treat(schedule)
