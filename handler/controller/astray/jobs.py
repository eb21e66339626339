"""Finds Jobs with our finalizer that are not followed: at once where a watch shows it, else by a search."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial

from events.names import FINALIZER, Label
from handler.controller.astray.treatment import Treatment, selectors_of_others, treat_found
from handler.controller.term import Term
from handler.effects.services import Services
from handler.telemetry.logcontext import about
from k8s.base import Key, Malformed, NotFound
from k8s.reading.job import job_of

logger = logging.getLogger(__name__)

LOOKS = 100
"""How many Jobs of other installations a search reads. Each is read once in a term, to see that it is theirs."""


class AstrayJobs:
    """In one term of leadership."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._selectors = selectors_of_others(services.settings.instance)
        self._cache = term.cache
        self._treatment = Treatment(services, term.writes)
        self._theirs: defaultdict[str, set[str]] = defaultdict(set)

    async def attend(self, key: Key) -> None:
        """Do what is to be done about a Job that is not followed (any more). Raises what `Writes` raises."""
        stray = self._cache.stray(key)
        if stray is not None:
            await self._treatment.treat(stray)
        elif self._cache.has_left(key):
            await self._read(key)
            self._cache.forget(key)

    async def search(self, namespace: str) -> None:
        """Treat all in it that this installation made and no watch shows. Raises what `Writes` raises."""
        failed = None
        async for key in self._candidates(namespace):
            about(namespace=namespace, job=key[1])
            failed = await treat_found(partial(self._read, key)) or failed
        if failed is not None:
            raise failed

    async def _candidates(self, namespace: str) -> AsyncIterator[Key]:
        looks, there = LOOKS, set()
        theirs = self._theirs[namespace]
        for selector in self._selectors:
            for meta in await self._cluster.job_metadata(namespace, selector):
                there.add(meta["uid"])
                if FINALIZER not in (meta.get("finalizers") or ()) or meta["uid"] in theirs:
                    continue
                # One that has lost its label does not wait for those that have another.
                labelled = Label.INSTANCE in (meta.get("labels") or {})
                looks -= labelled
                if looks >= 0 or not labelled:
                    yield namespace, meta["name"]
        theirs &= there

    async def _read(self, key: Key) -> None:
        try:
            job = job_of(await self._cluster.read_job(*key))
        except NotFound:
            return
        except Malformed as error:
            logger.warning("a Job that may have lost its labels cannot be read: %s", error)
            return
        if not self._treatment.is_ours(job):
            self._theirs[job.namespace].add(job.uid)
        elif job.has_finalizer and not job.newer:
            await self._treatment.treat(job)
