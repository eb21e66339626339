"""Whether more Jobs may wait, by the counts that the leader writes into its Lease. Does not stop intake itself."""

import asyncio
import logging
from collections import deque

import msgspec

from events.jobs.annotation import read_stored
from handler.effects.services import Services
from k8s.base import KubernetesError
from k8s.election.lease import read_lease
from k8s.election.record import LeaseRecord

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Seconds between looks at the Lease: as often as it is renewed."""
SOON_SECONDS = 0.5
"""Seconds between looks while there are no counts to go by."""
STALE_SECONDS = 30.0
"""Counts older than this say nothing: there may be no leader to release a Job."""
LAG_SECONDS = 1.0
"""Seconds within which the leader counts a Job that was created."""


class Counts(msgspec.Struct, frozen=True):
    """Jobs of the installation: `queued` wait for room, `waiting` for a time, other requests or a `resume`."""

    queued: int = 0
    waiting: int = 0
    active: int = 0


class Pressure:
    """`room` is set while more Jobs may wait for room, `full` while they may not.

    Jobs created here since the leader counted are added to its counts.
    """

    def __init__(self, services: Services) -> None:
        self.room = asyncio.Event()
        self.full = asyncio.Event()
        self._cluster = services.cluster
        self._namespace = services.namespaces[0]
        self._settings = services.settings
        self._metrics = services.metrics
        self._counts = Counts()
        self._queued: deque[float] = deque()
        self._waiting: deque[float] = deque()
        self._counted_at = float("-inf")
        self._matters = asyncio.Event()
        if self._settings.admits:
            self._matters.set()
        self._update()

    def too_many_waiting(self) -> bool:
        """Whether no more Jobs may be created that wait for something other than room."""
        self._matters.set()
        return self._counts.waiting + len(self._waiting) >= self._settings.max_waiting

    def created(self, *, waits: bool) -> None:
        """A Job was created that waits for room, or, if `waits`, for something else."""
        (self._waiting if waits else self._queued).append(self._cluster.server_time())
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

    def _take_counts(self, lease: LeaseRecord) -> None:
        if lease.renewed is None or lease.counts is None:
            return
        self._counts, self._counted_at = read_stored(lease.counts, Counts) or Counts(), lease.renewed
        for ours in (self._queued, self._waiting):
            while ours and ours[0] < lease.renewed - LAG_SECONDS:
                ours.popleft()

    def _is_known(self) -> bool:
        return self._cluster.server_time() - self._counted_at <= STALE_SECONDS

    def _update(self) -> None:
        queued = self._counts.queued + len(self._queued)
        full = self._settings.admits and (not self._is_known() or queued >= self._settings.max_queued)
        if full != self.full.is_set():
            logger.info("%s", "too many Jobs wait for room, or nobody counts them" if full else "there is room again")
        (self.full if full else self.room).set()
        (self.room if full else self.full).clear()
        self._metrics.intake_full.set(full)
