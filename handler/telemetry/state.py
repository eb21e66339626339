"""What this process knows about itself, for probes and metrics."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from adapters.base import Broker, Mishaps
from events.cloudevent.timestamp import format_epoch
from events.jobs.observed import Job
from events.lifecycle.outcome import waits
from handler.telemetry.copies import Copies
from handler.telemetry.metrics import PHASES, Metrics
from handler.telemetry.outages import Outages
from k8s.api.cluster import Cluster
from k8s.informer.informer import JobCache
from k8s.informer.slices import in_slices


class Sick(Protocol):
    """Namespaces that take no Jobs."""

    @property
    def all_sick(self) -> bool: ...
    def told(self) -> Mapping[str, str]: ...


class Held(Protocol):
    """What holds intake back; `problem` says why it is held."""

    @property
    def problem(self) -> str | None: ...


class Recording(Protocol):
    """Whether this process records the history; `problems` say why not all is recorded, `notes` what else waits."""

    @property
    def recording(self) -> bool: ...
    @property
    def problems(self) -> list[str]: ...
    @property
    def notes(self) -> list[str]: ...


class State:
    """Filled in by the application as its parts come up. `follows`: whether its role follows Jobs."""

    def __init__(self, metrics: Metrics, *, follows: bool = True) -> None:
        self.metrics = metrics
        self.outages = Outages(metrics)
        self.copies = Copies(metrics)
        self._follows = follows
        self.cluster: Cluster | None = None
        self.brokers: dict[str, Broker] = {}
        self.broker_problems: dict[str, str] = {}
        self.cache: JobCache | None = None
        self.namespaces: Sick | None = None
        self.gate: Held | None = None
        self.leading = False
        self.history: Recording | None = None
        self.page: str | None = None
        self.draining = False
        self._lost: dict[str, float] = {}
        self._relists = 0
        self._errors = 0
        self._mishaps: dict[str, Mishaps] = {}

    def problems(self) -> list[str]:
        """Why the process is not ready to serve; empty if it is. A standby is ready."""
        found = []
        for name in {**self.broker_problems, **self.brokers}:
            # What was found over a connection that is lost says nothing any more.
            problem = self.lost(name) or self.broker_problems.get(name)
            found += [f"broker {name}: {problem}"] if problem else []
        if self.cache is not None and self.cache.problem is not None:
            found.append(f"watch: {self.cache.problem}")
        elif self.cache is None and self._follows:
            found.append("Jobs are not listed yet")
        if self.namespaces is not None and self.namespaces.all_sick:
            found += self._sick_namespaces()
        if self.history is not None:
            found += [f"history: {problem}" for problem in self.history.problems]
        if self.draining:
            found.append("shutting down")
        return found

    def lost(self, broker: str) -> str | None:
        """That the connection to this broker is lost, and since when; None if it is not, or was never there."""
        one = self.brokers.get(broker)
        if one is None or one.connected:
            self._lost.pop(broker, None)
            return None
        return f"connection lost since {format_epoch(self._lost.setdefault(broker, time.time()))}"

    def notes(self) -> list[str]:
        """What holds part of the work back, though the process as a whole is ready."""
        found = [*self._sick_namespaces(), *self.copies.notes]
        if self.history is not None:
            found += self.history.notes
        if self.gate is not None and self.gate.problem is not None:
            found.append(f"requests wait for the API server: {self.gate.problem}")
        if self.cache is not None and self.cache.problem is None:
            found += [f"namespace {name} is not followed: {why}" for name, why in sorted(self.cache.refused.items())]
        return found

    def _sick_namespaces(self) -> list[str]:
        if self.namespaces is None:
            return []
        return [f"namespace {name} takes no Jobs: {why}" for name, why in sorted(self.namespaces.told().items())]

    def report(self) -> dict[str, object]:
        """Readiness, problems, notes, whether it leads, the page's URL, what its cache holds, for a JSON body."""
        problems = self.problems()
        report: dict[str, object] = {"ready": not problems, "problems": problems, "leading": self.leading}
        report["notes"] = self.notes()
        if self.history is not None:
            report["recording"] = self.history.recording
        if self.page is not None:
            report["page"] = self.page
        if self.cache is not None:
            report |= {"watchAgeSeconds": round(self.cache.age(), 1), "jobs": len(self.cache.jobs())}
        return report

    async def measure(self) -> None:
        """Update the gauges that are computed from this state. Lets others run while it looks through all Jobs."""
        metrics = self.metrics
        metrics.leader.set(self.leading)
        metrics.history_recording.set(self.history is not None and self.history.recording)
        metrics.ready.set(not self.problems())
        metrics.asyncio_tasks.set(len(asyncio.all_tasks()))
        for name in {*self.broker_problems, *self.brokers}:
            metrics.broker_connected.labels(name).set(name in self.brokers and self.brokers[name].connected)
        for name, broker in self.brokers.items():
            self._measure_mishaps(name, broker.mishaps)
        if self.cache is not None and self.cluster is not None:
            self._measure_watches(self.cache)
            await self._measure_jobs(self.cache, now=self.cluster.server_time())

    def _measure_mishaps(self, name: str, now: Mishaps) -> None:
        before = self._mishaps.get(name, Mishaps())
        self.metrics.redeclared.labels(name).inc(now.redeclared - before.redeclared)
        self.metrics.taken_away.labels(name).inc(now.taken_away - before.taken_away)
        self.metrics.letters_cut.labels(name).inc(now.letters_cut - before.letters_cut)
        self.metrics.letters_lost.labels(name).inc(now.letters_lost - before.letters_lost)
        self._mishaps[name] = now

    def _measure_watches(self, cache: JobCache) -> None:
        metrics = self.metrics
        metrics.watch_age.set(cache.age())
        metrics.watch_failing.set(cache.problem is not None or bool(cache.refused))
        relists, errors = cache.relists, cache.errors
        metrics.watch_relists.inc(relists - self._relists)
        metrics.watch_errors.inc(errors - self._errors)
        self._relists, self._errors = relists, errors

    async def _measure_jobs(self, cache: JobCache, *, now: float) -> None:
        metrics, phases, newer, ended = self.metrics, Counter[str](), 0, []
        async for job in in_slices(cache.jobs()):
            phases[_phase(job)] += 1
            newer += job.newer
            if job.finished:
                ended.append(_ended(job))
        for phase in PHASES:
            metrics.jobs.labels(phase).set(phases[phase])
        metrics.jobs_newer_format.set(newer)
        metrics.finalizers_pending.set(len(ended))
        metrics.finalizers_pending_seconds.set(max((now - at for at in ended), default=0.0))


def _phase(job: Job) -> str:
    if job.finished or job.deleted is not None:
        return "finishing"
    if job.suspend:
        return "queued" if job.queued is not None or waits(job) else "suspended"
    return "running" if job.ready else "pending"


def _ended(job: Job) -> float:
    return max((condition.at for condition in job.conditions), default=job.created)
