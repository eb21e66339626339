"""Asks why a Job has no pod that gets ready, seldom and for one Job at a time. `events.lifecycle.podless` understands
the answers.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.lifecycle.failures import failed_pods
from events.lifecycle.podless import Mystery, Notice, mystery, stalled
from events.lifecycle.transitions import Transition
from handler.controller.lookups import Lookups
from k8s.api.cluster import Cluster
from k8s.base import Key, KubernetesError

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds a Job may be without a pod before we ask; then the pause between questions about it, doubled each."""
PREPARING = 10.0
"""Seconds that a node may prepare a pod before we ask."""
LONGEST = 60.0
"""The longest pause between questions about a Job, in seconds."""
PAUSE = 0.1
"""Seconds between questions about any Jobs: for each, the API server looks through all Events of a namespace."""
PAUSE_PREPARING = 1.0
"""Seconds between questions about any pods: on a busy cluster many are prepared for a while, and all is well."""


@dataclass(slots=True)
class _Case:
    """A Job that waits for something unknown; asked about next at `ask_at` (epoch seconds)."""

    uid: str
    unknown: Mystery
    ask_at: float
    wait: float = PATIENCE
    notices: Sequence[Notice] = ()


class Podless:
    """The Jobs that should have a pod and have none that is ready, in one term. Each is forgotten as soon as it has."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cases: dict[Key, _Case] = {}
        self._lookups: Lookups[_Case] = Lookups(pause=PAUSE)
        self._lookups_of_pods: Lookups[_Case] = Lookups(pause=PAUSE_PREPARING)
        self._refused = False

    async def run(self, notify: Callable[[Iterable[Key]], None]) -> None:
        """Answer what `look` asks for, until cancelled. `notify` gets the key of each Job with an answer."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lookups.run(self._ask, notify))
            group.create_task(self._lookups_of_pods.run(self._ask, notify))

    def look(self, job: Job, pods: Sequence[Pod], *, now: float) -> list[Transition]:
        """The `stalled` transitions so far; asks again in the background when it is time. `now`: epoch seconds."""
        key, unknown = (job.namespace, job.name), mystery(job, pods)
        if unknown is None:
            self.forget(key)
            return []
        case = self._cases.get(key)
        if case is None or (case.uid, case.unknown) != (job.uid, unknown):
            patience = PREPARING if unknown.preparing else PATIENCE
            case = self._cases[key] = _Case(uid=job.uid, unknown=unknown, ask_at=unknown.since + patience)
        if now >= case.ask_at:
            case.ask_at, case.wait = now + case.wait, min(2 * case.wait, LONGEST)
            lookups = self._lookups_of_pods if unknown.preparing else self._lookups
            lookups.ask(key, case)
        return self.told(job, pods)

    def told(self, job: Job, pods: Sequence[Pod]) -> list[Transition]:
        """What the answers so far say; asks nothing."""
        case = self._cases.get((job.namespace, job.name))
        if case is None or case.uid != job.uid:
            return []
        return stalled(case.notices, since=case.unknown.since, attempt=1 + len(failed_pods(job, pods)))

    def next_look(self, key: Key) -> float | None:
        """When to call `look` again even if nothing changes (epoch seconds)."""
        case = self._cases.get(key)
        return None if case is None else case.ask_at

    def forget(self, key: Key) -> None:
        self._cases.pop(key, None)

    async def _ask(self, key: Key, case: _Case) -> None:
        namespace, _ = key
        try:
            case.notices = await self._cluster.warnings(namespace, case.unknown.about)
        except KubernetesError as error:
            # Only an explanation is missing: everything else goes on without it.
            level = logging.DEBUG if self._refused else logging.WARNING
            self._refused = True
            logger.log(level, "cannot read why a Job has no pod: %s", error)
        else:
            self._refused = False
