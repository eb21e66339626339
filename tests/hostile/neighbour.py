"""An installation under attack, and a second tenant who only wants its plain requests done meanwhile."""

import asyncio
import itertools
import os
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events.identity import Identity, job_name
from k8s.base import NotFound
from k8s.election.lease import read_lease
from tests.chaos.table import Rows
from tests.e2e.observer import STRUCTURED, Observer, request
from tests.e2e.site import Relay, Site
from tests.patience import PATIENCE, within

JOB_SECONDS = 2.0
"""From the publication of a plain request to its Job."""
OUTCOME_SECONDS = 5.0
"""From the publication of a plain request to its terminal event at a subscriber."""
PAUSE = 0.5
"""Seconds between plain requests."""
SERVICE = "neighbour"
CALL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A controller and a handler, two processes, with a namespace of their own. Use `attacked()`."""

    site: Site
    instance: str
    controller: Relay
    handler: Relay
    observer: Observer
    """The attacker: publishes, and sees every lifecycle event."""
    rows: Rows
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def publish(self, body: bytes, headers: Mapping[str, str] | None = None, *, to: str = "requests") -> None:
        """Publish bytes, by default as a structured event."""
        await self.observer.publish_raw(body, {"Content-Type": STRUCTURED} | dict(headers or {}), to=to)

    def request(self, request_id: str, script: str = "true", **given: Any) -> dict[str, Any]:
        """A request of the attacker, as `Observer.publish` takes it."""
        return request(request_id, script, image=self.site.image, **given)

    @asynccontextmanager
    async def neighbour(self, attack: str, *, size: str, seconds: float = 0.0) -> AsyncIterator["Neighbour"]:
        """Within the block a neighbour publishes plain requests. At its end each must have had its Job and outcome.

        `attack` and `size` go into the table of `make chaos`. The block lasts at least `seconds`: of an attack that is
        over at once, the effects come later.
        """
        holder = await self.leader()
        before = {role: cpu_seconds(relay) for role, relay in self.relays.items()}
        async with Observer.connected(self.site.source, self.instance) as eyes:
            neighbour = Neighbour(self, eyes)
            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(neighbour.live())
                await neighbour.first()
                yield neighbour
                await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
                publishing.cancel()
            await neighbour.settled()
        cost = "; ".join(
            f"{role} {cpu_seconds(relay) - before[role]:.1f} s CPU, {peak_mib(relay)} MiB"
            for role, relay in self.relays.items()
        )
        self.rows.add(f"attack: {attack}", self.site.broker, done=size, outcome=f"{neighbour}; {cost}")
        neighbour.check()
        assert await self.leader() == holder, "the Lease has changed hands"
        for relay in self.relays.values():
            assert relay.process.exit_code is None, relay.process.output()[-2000:]

    @property
    def relays(self) -> Mapping[str, Relay]:
        """Both processes, by role."""
        return {"handler": self.handler, "controller": self.controller}

    async def leader(self) -> tuple[str, int]:
        """Who holds the Lease, and how often it has changed hands."""
        lease = await read_lease(
            self.site.cluster, namespace=self.site.namespace, name=self.instance, timeout=CALL_SECONDS
        )
        assert lease is not None
        return lease.holder, lease.transitions


def cpu_seconds(relay: Relay) -> float:
    """What the process has used so far."""
    fields = Path(f"/proc/{relay.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(relay: Relay) -> int:
    """The most memory that the process has had so far."""
    status = Path(f"/proc/{relay.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


class Neighbour:
    """A tenant of the same installation. Its requests are plain, and there are two of them a second."""

    def __init__(self, scene: Scene, eyes: Observer) -> None:
        self._scene = scene
        self._eyes = eyes
        self._running: set[asyncio.Task[None]] = set()
        self.jobs: list[float] = []
        """Seconds to the Job of each request."""
        self.outcomes: list[float] = []
        """Seconds to the outcome of each request."""

    def __str__(self) -> str:
        slowest = f"Job after {max(self.jobs):.1f} s, outcome after {max(self.outcomes):.1f} s at most"
        return f"{len(self.outcomes)} plain requests: {slowest}"

    async def live(self) -> None:
        """Publish plain requests until cancelled."""
        while True:
            self._start(self.one())
            await asyncio.sleep(PAUSE)

    async def first(self) -> None:
        """Wait until a first request has been through: the attack meets an installation that works."""
        async with asyncio.timeout(PATIENCE):
            while not self.outcomes:
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait for the outcomes of all requests."""
        await asyncio.gather(*self._running)

    async def one(self) -> None:
        """One request, from its publication to its outcome."""
        name = f"plain-{next(self._scene.numbers)}"
        begun = time.monotonic()
        await self._eyes.publish(request(name, image=self._scene.site.image, service=SERVICE))
        await self._has_job(name)
        self.jobs.append(time.monotonic() - begun)
        outcome = await self._eyes.ended(name)
        assert str(outcome.get_type()).endswith(".succeeded")
        self.outcomes.append(time.monotonic() - begun)

    def check(self) -> None:
        """The attack was not noticed."""
        assert max(self.jobs) <= within(JOB_SECONDS), self
        assert max(self.outcomes) <= within(OUTCOME_SECONDS), self

    async def _has_job(self, name: str) -> None:
        job = job_name(SERVICE, Identity(self._eyes.source, name))
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self._scene.site.cluster.read_job(self._scene.site.namespace, job)
                    return
                except NotFound:
                    await asyncio.sleep(0.02)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)


@asynccontextmanager
async def attacked(site: Site, rows: Rows, **settings: object) -> AsyncIterator[Scene]:
    """An installation of its own, ready. `settings`: fields of `Settings`, for both processes."""
    instance = site.new_instance()
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(site.observer(instance))
        controller, handler = await stack.enter_async_context(
            site.relays(instance, "controller", "handler", **settings)
        )
        async with asyncio.timeout(PATIENCE):
            while not await controller.leads():
                await asyncio.sleep(0.05)
        yield Scene(site=site, instance=instance, controller=controller, handler=handler, observer=observer, rows=rows)
