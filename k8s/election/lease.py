"""Lease election: at most one leader at a time, if clocks run equally fast. Knows nothing of what a leader does."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import orjson

from events.problems import brief
from k8s.api.client import segment
from k8s.api.clock import backoff, boottime
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import Conflict, KubernetesError, LeadershipLost, Manifest, NotFound, Unavailable
from k8s.election.record import LeaseRecord, LeaseTiming, Sight, Step, claimed, decide, no_lease, read, released

logger = logging.getLogger(__name__)


class Leadership:
    """The Lease is ours. `previous`: until when the former leader has published (epoch seconds), None if unknown.

    `former_until`: when the former leader last renewed or released the Lease (epoch seconds), None if there was none.
    `write_timeout`: seconds that a write of the leader may take.
    """

    def __init__(self, term: "_Term") -> None:
        self._term = term
        self.previous = term.record.published_to
        self.former_until = term.former_until
        self.write_timeout = term.timing.call

    def check(self, write_timeout: float) -> None:
        """Call before each write. Raises `LeadershipLost` unless the Lease lasts `write_timeout` seconds more."""
        self._term.check(write_timeout)

    def reports(self, *, published_to: Callable[[], float], counts: Callable[[], str | None]) -> None:
        """From the next renewal on, store what these functions return on the Lease.

        `published_to`: the API server's time before which everything has been published. `counts`: text for readers of
        the Lease; None leaves the text as it is.
        """
        self._term.published_to, self._term.counts = published_to, counts


@asynccontextmanager
async def lead(
    cluster: Cluster,
    *,
    namespace: str,
    name: str,
    identity: str,
    timing: LeaseTiming | None = None,
    clock: Callable[[], float] = boottime,
) -> AsyncIterator[Leadership]:
    """Wait until the Lease is ours, and keep it for the length of the block. `identity` must be unique to this process.

    If the Lease is lost, the block is cancelled and `LeadershipLost` is raised; exceptions of the block pass unchanged.
    At the end the Lease is released, so that the next leader need not wait. `clock` must go on while this process or
    the machine is suspended.
    """
    term = _Term(
        cluster,
        namespace=namespace,
        name=name,
        identity=identity,
        timing=timing or LeaseTiming(),
        clock=clock,
    )
    try:
        await term.win()
        async with beside(term.keep()):
            yield Leadership(term)
    finally:
        await term.release()


async def read_lease(cluster: Cluster, *, namespace: str, name: str, timeout: float) -> LeaseRecord | None:
    """The current Lease; None if there is none. Raises `Unavailable`."""
    return await _read(cluster, f"{_leases(namespace)}/{segment(name)}", timeout=timeout)


async def prepare_lease(cluster: Cluster, *, namespace: str, name: str) -> None:
    """Create the Lease if there is none, without a holder: whoever comes first leads at once. Raises `KubernetesError`.

    Only where nobody can have led: a candidate that has to create the Lease waits for a leader it may have had.
    """
    with suppress(Conflict):
        manifest = no_lease(namespace=namespace, name=name).manifest
        await cluster.client.request("POST", _leases(namespace), body=manifest)


async def _read(cluster: Cluster, path: str, *, timeout: float) -> LeaseRecord | None:
    try:
        return _record(await cluster.client.request("GET", path, timeout=timeout))
    except NotFound:
        return None


def _record(answer: bytes) -> LeaseRecord:
    try:
        return read(orjson.loads(answer))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(brief(f"the answer is no Lease: {error}")) from error


def _leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{segment(namespace)}/leases"


class _Term:
    """A candidacy, and the leadership that follows."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: LeaseTiming,
        clock: Callable[[], float],
    ) -> None:
        self.record = no_lease(namespace=namespace, name=name)
        self.timing = timing
        self.former_until: float | None = None
        self.published_to: Callable[[], float] = lambda: 0.0
        self.counts: Callable[[], str | None] = lambda: None
        self._cluster = cluster
        self._collection = _leases(namespace)
        self._path = f"{self._collection}/{segment(name)}"
        self._absent = self.record
        self._identity = identity
        self._clock = clock
        self._renewed = 0.0
        self._claiming: LeaseRecord | None = None
        self._doubtful_until = -math.inf
        self._gone = False
        self._rng = random.Random()  # noqa: S311 - jitter

    def check(self, write_timeout: float) -> None:
        if self._gone or self._clock() + write_timeout > self._renewed + self.timing.lease:
            raise LeadershipLost("the Lease may be over before this write would be")

    async def win(self) -> None:
        """Poll the Lease until it is free, and take it."""
        sight, failures, told = Sight(), 0, ""
        while True:
            try:
                sight = sight.saw(await self._read(), now=self._clock(), timing=self.timing)
                if await self._step(sight):
                    return
            except Conflict:
                failures = 0  # Another candidate was faster.
            except KubernetesError as error:
                failures += 1
                if str(error) != told:
                    logger.warning("cannot become leader, trying again: %s", error)
                told = str(error)
            else:
                failures = 0
            pause = min(backoff(failures, rng=self._rng), self.timing.retry) if failures else self.timing.look
            await asyncio.sleep(pause * (0.9 + 0.2 * self._rng.random()))

    async def _step(self, sight: Sight) -> bool:
        """Act on what was seen; return whether we lead now."""
        step = decide(sight, identity=self._identity, now=self._clock())
        if step is Step.WAIT:
            return False
        before = sight.record or self._absent
        self.former_until = before.renewed
        if step is Step.CREATE:
            # If the answer is lost, the next look finds a Lease of ours, which is as doubtful.
            self._doubtful_until = self._clock() + self.timing.call + self.timing.doubt
        await self._claim(before, published_to=before.published_to)
        if step is Step.CREATE:
            self._doubtful_until = self._clock() + self.timing.doubt
        if self._is_in_doubt():
            await asyncio.sleep(self._doubtful_until - self._clock())
            await self._claim(self.record, published_to=None)
        return True

    def _is_in_doubt(self) -> bool:
        """Whether a holder of a Lease that we found deleted may not have stopped yet."""
        return self._clock() < self._doubtful_until

    async def keep(self) -> None:
        """Renew until cancelled. Raises `LeadershipLost` if another holds it, or it could not be renewed in time."""
        pause = self.timing.retry
        while True:
            await asyncio.sleep(max(0.0, min(pause, self._left())))
            if self._left() <= 0:
                raise LeadershipLost(f"the Lease could not be renewed for {self.timing.renew_deadline} s")
            try:
                async with asyncio.timeout(self._left()):
                    await self._renew()
            except LeadershipLost:
                self._gone = True
                raise
            except (KubernetesError, TimeoutError) as error:
                logger.warning("cannot renew the Lease, trying again: %s", error)
                pause = self.timing.retry / 4
            else:
                pause = self.timing.retry

    async def release(self) -> None:
        """Release the Lease if it is ours, or may be. Best effort: without this it expires.

        A Lease in doubt is left to expire: whoever is next has to wait for the same former holder.
        """
        if self._gone or self._is_in_doubt():
            return
        # Of a claim without an answer only one can win: it, or the release of what was to be claimed.
        self.record = self._claiming or self.record
        if not self.record.version:
            return
        with suppress(KubernetesError, TimeoutError):
            async with asyncio.timeout(self.timing.call):
                try:
                    await self._write_released()
                except Conflict:
                    await self._check_holder()
                    await self._write_released()

    async def _write_released(self) -> None:
        manifest = released(self.record, at=self._cluster.server_time(), published_to=self._published())
        await self._request("PUT", self._path, manifest)

    async def _renew(self) -> None:
        try:
            await self._claim(self.record, published_to=self._published())
        except NotFound as error:
            raise LeadershipLost("somebody deleted the Lease") from error
        except Conflict:
            await self._check_holder()
            await self._claim(self.record, published_to=self._published())

    async def _claim(self, before: LeaseRecord, *, published_to: float | None) -> None:
        """Write that the Lease is ours. It counts from when we sent this: others count from when they see it, later."""
        sent = self._clock()
        manifest = claimed(
            before,
            identity=self._identity,
            at=self._cluster.server_time(),
            timing=self.timing,
            published_to=published_to,
            counts=self.counts(),
        )
        self._claiming = before
        try:
            if before.version:
                self.record = await self._request("PUT", self._path, manifest)
            else:
                self.record = await self._request("POST", self._collection, manifest)
        except (Conflict, NotFound):
            self._claiming = None
            raise
        self._claiming = None
        self._renewed = sent

    async def _check_holder(self) -> None:
        """After a conflict the Lease may still be ours: an answer to us was lost, or somebody annotated the Lease."""
        found = await self._read()
        if found is None or found.holder != self._identity or found.uid != self.record.uid:
            raise LeadershipLost(f"the Lease is held by {found.holder or 'nobody'}" if found else "the Lease is gone")
        self.record = found

    async def _read(self) -> LeaseRecord | None:
        return await _read(self._cluster, self._path, timeout=self.timing.call)

    async def _request(self, method: str, path: str, manifest: Manifest) -> LeaseRecord:
        answer = await self._cluster.client.request(method, path, body=manifest, timeout=self.timing.call)
        return _record(answer)

    def _published(self) -> float | None:
        """Never goes back: what a former leader published stays published. Ignores a future time: another server's."""
        before = self.record.published_to or 0.0
        return max(self.published_to(), before if before <= self._cluster.server_time() + 1 else 0.0) or None

    def _left(self) -> float:
        """Seconds until we have to stop, unless we can renew."""
        return self._renewed + self.timing.renew_deadline - self._clock()
