"""One look at a Pod: notes how it is, and has the logs of its containers read that are due."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from msgspec import structs

from events.problems import brief
from handler.history.base import Bodies, LogState, LogWriter, PodRun, Reader
from handler.history.logs.owners import Owner, Owners
from handler.history.logs.taking import Log, Taking
from handler.history.logs.watching import Part, Seen
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.base import Cause, KubernetesError, NotFound, Refused, Unavailable

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 4.0
"""Between reads of a log that grows. What goes with its pod is to be at most 5 s of it."""
ASK_AGAIN_SECONDS = 300.0
"""Until we ask again where logs were refused to us."""
ANSWER_SECONDS = 5.0
"""For which others wait for the answer to that."""
GONE = "the pod went before it could be read"
ENDLESS = "the pod went before its end could be read"
FORBIDDEN = "the pod went while reading logs was forbidden to us"
NEVER_RAN = "the container never ran"
DELETED = "Deleted"
"""Reason of a Pod that went before it ended."""


class Work(msgspec.Struct):
    """What is known of a Pod whose logs are not done. `logs`: by container; None until the database was asked.

    `failed`: the container whose log could not be read last. `changed`: while it was looked at.
    """

    owner: Owner | None = None
    noted: PodRun | None = None
    logs: dict[str, Log] | None = None
    failures: int = 0
    failed: str = ""
    changed: bool = False
    done: bool = False


class Turn(msgspec.Struct):
    """Tells whether the node of the Pod answers."""

    answered: Callable[[], None]
    failed: Callable[[], None]


class Attending:
    """Looks at Pods; remembers which namespaces refuse us their logs."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        metrics: Metrics,
        reader: Reader,
        writer: LogWriter,
        bodies: Bodies | None,
    ) -> None:
        self._metrics = metrics
        self._reader = reader
        self._writer = writer
        self._reads = settings.logs != "off" and settings.log_bytes > 0
        self._follows = settings.logs == "follow"
        self._owners = Owners(cluster, reader, instance=settings.instance, events=settings.history_events == "on")
        self._taking = Taking(cluster, reader, writer, bodies, limit=settings.log_bytes)
        self._refused: dict[str, float] = {}

    async def look(self, seen: Seen, work: Work, turn: Turn) -> float | None:
        """Do what is due. Returns in how many seconds something else will be, None if that takes news of the Pod.

        Sets `work.done` once nothing can be. Raises `KubernetesError`, `StoreUnavailable`, `BodiesUnavailable`: what
        was done until then is not done again.
        """
        begun = asyncio.get_running_loop().time()
        if work.logs is None:
            found = await self._reader.logs(seen.run.uid) if self._reads else ()
            work.logs = {log.container: Log(log) for log in found}
        ended = seen.over or seen.gone
        # Somebody has kept them before, and noted the end of the pod before the last of them.
        if ended and work.noted is None and seen.parts and self._are_done(seen, work):
            work.done = True
            return None
        if work.owner is None:
            work.owner = await self._owners.of(seen)
        if work.owner is None:
            work.done = True
            return None
        work.owner = await self._note(seen, work, work.owner)
        if not self._reads:
            work.done = ended
            return None
        for part in sorted(seen.parts, key=lambda part: part.name == work.failed):
            await self._attend(seen, part, work, turn)
        work.done = ended and self._are_done(seen, work)
        return self._after(seen, work, begun)

    def _are_done(self, seen: Seen, work: Work) -> bool:
        logs = work.logs or {}
        return all(part.name in logs and logs[part.name].done for part in seen.parts)

    def _after(self, seen: Seen, work: Work, begun: float) -> float | None:
        now = asyncio.get_running_loop().time()
        if work.done:
            return None
        if (until := self._refused.get(seen.run.namespace, now)) > now:
            return until - now
        running = self._polls(seen) and any(part.running for part in seen.parts)
        return max(0.0, begun + FOLLOW_SECONDS - now) if running else None

    def _has_ended(self, seen: Seen, part: Part) -> bool:
        """Whether it is time for the whole log. Of the last container, that is once the pod is known to have ended."""
        if seen.over or seen.gone:
            return True
        return part.ended and (seen.deleted or not all(other.ended for other in seen.parts))

    def _polls(self, seen: Seen) -> bool:
        """Whether the logs of running containers are read: a pod that is being deleted may go with its end."""
        return self._follows or seen.deleted

    async def _note(self, seen: Seen, work: Work, owner: Owner) -> Owner:
        """Returns the owner without what is kept of it now: a pod may run for long."""
        run = seen.run
        if seen.gone and run.finished is None:
            noted = work.noted.finished if work.noted else None
            run = structs.replace(run, finished=noted or time.time(), reason=run.reason or DELETED)
        if run != work.noted:
            await self._writer.keep_pod(owner.key, run, created=owner.created, asked=owner.asked)
            work.noted = run
        return owner._replace(asked=None)

    async def _attend(self, seen: Seen, part: Part, work: Work, turn: Turn) -> None:
        logs = work.logs if work.logs is not None else {}
        log = logs.get(part.name, Log())
        if log.done or not (self._has_ended(seen, part) or (part.running and self._polls(seen))):
            return
        if not part.ran:
            after = await self._taking.give_up(seen, part.name, log, NEVER_RAN)
        elif seen.gone:
            after = await self._taking.give_up(seen, part.name, log, self._reason(seen, log))
        elif self._is_refused(seen.run.namespace):
            return
        else:
            after = await self._read(seen, part, work, log, turn)
        self._count(log, after)
        logs[part.name] = after

    def _reason(self, seen: Seen, log: Log) -> str:
        if seen.run.namespace in self._refused:
            return FORBIDDEN
        return GONE if log.header is None else ENDLESS

    def _count(self, before: Log, after: Log) -> None:
        if after.header is None or (before.header is not None and before.header.state is after.header.state):
            return
        self._metrics.history_logs.labels(after.header.state).inc()
        if after.header.state is LogState.MISSING and after.header.reason != NEVER_RAN:
            self._metrics.history_log_failures.inc()

    async def _read(self, seen: Seen, part: Part, work: Work, log: Log, turn: Turn) -> Log:
        try:
            after = await self._taking.read(seen, part.name, log, final=part.ended, answered=turn.answered)
        except (NotFound, Refused) as error:
            turn.answered()
            if not part.ended:
                return log  # It has just gone, or has not begun: the watch will tell.
            return await self._taking.give_up(seen, part.name, log, _why(error, log))
        except Unavailable as error:
            work.failed = part.name
            if error.cause is not Cause.PERMISSION:
                turn.failed()
                raise
            self._metrics.history_log_failures.inc()
            self._refuse(seen.run.namespace, error)
            return log
        self._allow(seen.run.namespace)
        return after

    def _is_refused(self, namespace: str) -> bool:
        """Whether it is not to be asked. From time to time one asks whether it still refuses, and the others wait."""
        until, now = self._refused.get(namespace), asyncio.get_running_loop().time()
        if until is None or until > now:
            return until is not None
        self._refused[namespace] = now + min(ANSWER_SECONDS, ASK_AGAIN_SECONDS)
        return False

    def _refuse(self, namespace: str, error: KubernetesError) -> None:
        if namespace not in self._refused:
            logger.warning("logs of namespace %s are not kept until we may read them: %s", namespace, error)
        self._refused[namespace] = asyncio.get_running_loop().time() + ASK_AGAIN_SECONDS

    def _allow(self, namespace: str) -> None:
        if self._refused.pop(namespace, None) is not None:
            logger.info("logs of namespace %s are kept again", namespace)


def _why(error: KubernetesError, log: Log) -> str:
    if isinstance(error, NotFound):
        return GONE if log.header is None else ENDLESS
    return brief(f"the node does not have it: {error}")
