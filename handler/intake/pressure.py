"""Whether more Jobs may wait, by the counts that the leader writes into its Lease. Does not stop intake itself."""

import asyncio
import logging

from events.jobs.annotation import read_stored
from events.names import Annotation
from handler.admission.shares import Bound, Counts, Places
from handler.effects.deliveries import Rejection
from handler.effects.services import Services
from k8s.base import KubernetesError
from k8s.election.lease import read_lease
from k8s.election.record import LeaseRecord
from k8s.manifests.job import Rendered

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Seconds between looks at the Lease: as often as it is renewed."""
SOON_SECONDS = 0.5
"""Seconds between looks while there are no counts to go by."""
STALE_SECONDS = 30.0
"""Counts older than this say nothing: there may be no leader to release a Job."""
LAG_SECONDS = 1.0
"""Seconds within which the leader counts a Job that was created."""
BACK_SECONDS = 1.0
"""Seconds until a request is offered again whose service has its share of what may wait for room, at least."""
BACK_RATE = 100
"""Such requests of one service that come back in a second."""
BACK_LONGEST = 600.0
LOOK_RATE = 50
"""Requests in a second that are looked at while one service has all places, in search of other services."""
_SHARE = "as others wait too, it has no more than half of"


class Crowded(Exception):
    """The request has to wait in the broker: its service has its share of what may wait for room.

    `delay`: seconds until it is worth another try.
    """

    def __init__(self, message: str, *, delay: float) -> None:
        super().__init__(message)
        self.delay = delay


class Pressure:
    """`room` is set while more Jobs may wait for room, `full` while they may not, whoever asks.

    Jobs created here since the leader counted are added to its counts.
    """

    def __init__(self, services: Services) -> None:
        self.room = asyncio.Event()
        self.full = asyncio.Event()
        self._cluster = services.cluster
        self._namespace = services.namespaces[0]
        self._settings = services.settings
        self._admits = services.settings.admits
        self._metrics = services.metrics
        self._queued = Places(services.settings.max_queued)
        self._waiting = Places(services.settings.max_waiting)
        self._back: dict[str, float] = {}
        self._look_at = float("-inf")
        self._counted_at = float("-inf")
        self._matters = asyncio.Event()
        if self._admits:
            self._matters.set()
        self._update()

    async def check(self, rendered: Rendered, service: str | None) -> None:
        """Raises `Rejection` if no more Jobs of its service may wait for a time or for others, `Crowded` for room."""
        if rendered.queueing.waits:
            self._matters.set()
            bound = self._waiting.ask(service or "", self._cluster.server_time())
            # A request that comes again is a duplicate, whoever waits.
            if bound is not None and not await self._exists(rendered):
                raise Rejection("TOO_MANY_WAITING", self._too_many_waiting(bound))
        elif self._admits and _is_queued(rendered):
            await self._check_queued(service or "", self._cluster.server_time())

    def created(self, rendered: Rendered, service: str | None) -> None:
        """Its Job was created, for this service."""
        if _is_queued(rendered):
            places = self._waiting if rendered.queueing.waits else self._queued
            places.taken(service or "", self._cluster.server_time())
            self._update()

    async def run(self) -> None:
        """Follow the Lease until cancelled, but only once that matters: in most installations no Job waits."""
        await self._matters.wait()
        name, timeout = self._settings.instance, self._settings.kube_timeout
        while True:
            try:
                lease = await read_lease(self._cluster, namespace=self._namespace, name=name, timeout=timeout)
                if lease is not None:
                    self._take_counts(lease)
            except KubernetesError as error:
                logger.debug("cannot read the Lease: %s", error)
            self._update()
            await asyncio.sleep(LOOK_SECONDS if self._is_known() else SOON_SECONDS)

    async def _check_queued(self, service: str, now: float) -> None:
        bound = self._queued.ask(service, now)
        self._update()
        if bound is Bound.ALONE:
            # Look through what waits in the broker, slowly: there may be requests of others behind those of this one.
            self._look_at = max(self._look_at, now) + 1 / LOOK_RATE
            await asyncio.sleep(self._look_at - now)
            now = self._cluster.server_time()
            bound = self._queued.ask(service, now)
        # Places taken by many are no reason: what was delivered is finished although no more is taken in.
        if bound in {Bound.SHARE, Bound.ALONE}:
            raise Crowded(self._crowded(bound), delay=self._delay(service, now))

    async def _exists(self, rendered: Rendered) -> bool:
        metadata = rendered.job["metadata"]
        try:
            await self._cluster.read_job(metadata["namespace"], metadata["name"])
        except KubernetesError:
            return False
        return True

    def _too_many_waiting(self, bound: Bound) -> str:
        most = f"JOBRELAY_MAX_WAITING={self._settings.max_waiting}"
        if bound is not Bound.SHARE:
            return f"{most} Jobs wait for a time or for other requests"
        return f"{self._waiting.half} Jobs of its service wait for a time or for other requests: {_SHARE} {most}"

    def _crowded(self, bound: Bound) -> str:
        most = f"JOBRELAY_MAX_QUEUED={self._settings.max_queued}"
        if bound is Bound.ALONE:
            return f"{most} Jobs wait for room"
        return f"{self._queued.half} Jobs of its service wait for room: {_SHARE} {most}"

    def _delay(self, service: str, now: float) -> float:
        """Seconds. The requests of a service come back one by one, so the later the more of them there are."""
        self._back = {name: at for name, at in self._back.items() if at > now}
        if service not in self._back:
            logger.info("too many Jobs of one service wait for room; what else it asks for waits in the broker")
        at = max(self._back.get(service, 0.0), now + BACK_SECONDS) + 1 / BACK_RATE
        self._back[service] = min(at, now + BACK_LONGEST)
        return self._back[service] - now

    def _take_counts(self, lease: LeaseRecord) -> None:
        if lease.renewed is None or lease.counts is None:
            return
        counts, self._counted_at = read_stored(lease.counts, Counts) or Counts(), lease.renewed
        queued, waiting = (counts.shares.queued, counts.shares.waiting) if counts.shares else (None, None)
        self._queued.counted(counts.queued, queued, until=lease.renewed - LAG_SECONDS)
        self._waiting.counted(counts.waiting, waiting, until=lease.renewed - LAG_SECONDS)

    def _is_known(self) -> bool:
        return self._cluster.server_time() - self._counted_at <= STALE_SECONDS

    def _update(self) -> None:
        full = self._admits and (not self._is_known() or self._queued.is_full())
        if full != self.full.is_set():
            logger.info("%s", "too many Jobs wait for room, or nobody counts them" if full else "there is room again")
        (self.full if full else self.room).set()
        (self.room if full else self.full).clear()
        self._metrics.intake_full.set(full)


def _is_queued(rendered: Rendered) -> bool:
    return Annotation.QUEUED in rendered.job["metadata"]["annotations"]
