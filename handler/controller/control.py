"""Control events: cancel, suspend, resume. Consumed by the leader only, each answered on the lifecycle topic."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Delivery, Kind, Subscription, Topic
from events.cloudevent.event import InvalidEvent, expired
from events.identity import request_label
from events.jobs.attempts import attempt_name, next_attempt_at, next_key
from events.jobs.observed import Job, Schedule, Verdict
from events.jobs.queueing import read_queueing
from events.lifecycle.schedules import is_exhausted
from events.names import Label, Payload, Phase
from events.request.control import (
    ACCEPTED,
    REJECTED,
    Command,
    ControlVerb,
    accepted,
    control_key,
    parse_control,
    refused,
)
from events.request.request import InvalidRequest
from handler.effects.publisher import Publisher, until_taken
from handler.effects.writes import Writes
from handler.settings.settings import Settings
from handler.telemetry.logcontext import about, also, also_event
from handler.telemetry.metrics import Metrics
from handler.telemetry.tracing import OFF, Tracing
from k8s.api.clock import backoff
from k8s.api.cluster import Cluster
from k8s.base import Conflict, LeadershipLost, Malformed, Manifest, NotFound, Refused, Unavailable
from k8s.informer.informer import JobCache
from k8s.reading.job import job_of

logger = logging.getLogger(__name__)

BUG_DELAY = 5.0
"""Seconds until a command that met an error of ours is tried again; it counts as an attempt."""
LOOK_SECONDS = 0.2
"""Time between looks for a request that has no Job yet."""
Target = Job | Schedule
"""What a command is carried out on."""


class Refusal(Exception):
    """The command is not carried out. `code` goes into the answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Control:
    """Carries out control events for one term of leadership."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: JobCache,
        writes: Writes,
        publisher: Publisher,
        metrics: Metrics,
        settings: Settings,
        namespaces: tuple[str, ...],
        broker: str,
        tracing: Tracing = OFF,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._writes = writes
        self._publisher = publisher
        self._metrics = metrics
        self._settings = settings
        self._namespaces = namespaces
        self._broker = broker
        self._tracing = tracing

    async def run(self, subscription: Subscription) -> None:
        """Until cancelled. Raises `LeadershipLost` (in a group)."""
        async with asyncio.TaskGroup() as group:
            async for delivery in subscription:
                group.create_task(self._handle(delivery))

    async def _handle(self, delivery: Delivery) -> None:
        about(message_id=delivery.message_id)
        try:
            await self._judge(delivery)
        except LeadershipLost:
            raise
        except Exception:
            # A command that we cannot handle must not end the term: it would end the next one too.
            logger.exception("command failed on our side")
            await until_taken(lambda: delivery.retry(BUG_DELAY))

    async def _judge(self, delivery: Delivery) -> None:
        limit = self._settings.max_attempts
        if delivery.attempt > limit:
            reason = f"delivered {limit} times without an outcome"
            await until_taken(lambda: delivery.reject("TOO_MANY_ATTEMPTS", reason))
            return
        try:
            event = delivery.event()
        except InvalidEvent as error:
            reason = error.reason
            await until_taken(lambda: delivery.reject("INVALID_EVENT", reason))
            return
        also_event(event)
        with self._tracing.processing(delivery, event, broker=self._broker):
            if self._tracing.active:
                also(trace_id=self._tracing.trace_id())
            await self._serve(delivery, event)

    async def _serve(self, delivery: Delivery, event: CloudEvent) -> None:
        try:
            command = parse_control(event)
        except InvalidRequest as error:
            await self._refuse(delivery, str(error))
        else:
            also(job_id=command.subject)
            answer, outcome = await self._answer(command)
            self._metrics.control.labels(command.verb, outcome).inc()
            self._tracing.came_to(outcome)
            await self._publish(command.event_id, outcome, answer)
            await until_taken(delivery.ack)

    async def _refuse(self, delivery: Delivery, reason: str) -> None:
        event, code = delivery.event(), "INVALID_REQUEST"
        answer = refused(event, instance=self._settings.instance, code=code, message=reason)
        self._metrics.control.labels("unknown", REJECTED).inc()
        self._tracing.came_to(REJECTED, error=code, message=reason)
        await self._publish(event.get_id(), REJECTED, answer)
        await until_taken(lambda: delivery.reject(code, reason))

    async def _publish(self, event_id: str, outcome: str, answer: CloudEvent) -> None:
        topic = Topic(Kind.LIFECYCLE, control_key(event_id, outcome))
        await until_taken(lambda: self._publisher.publish(topic, answer, broker=self._broker))

    async def _answer(self, command: Command) -> tuple[CloudEvent, str]:
        instance = self._settings.instance
        try:
            if expired(command.event, self._cluster.server_time()):
                raise Refusal("EXPIRED", f"its expirytime {command.event.get_extension('expirytime')} is past")
            jobs = await self._jobs_of(command)
            for one in jobs:
                await self._carry_out(command, one)
        except Refusal as refusal:
            logger.info("%s refused: %s", command.verb, refusal)
            return refused(command, instance=instance, code=refusal.code, message=str(refusal)), REJECTED
        logger.info("%s accepted", command.verb)
        return accepted(command, instance=instance, jobs=[job.name for job in jobs]), ACCEPTED

    async def _jobs_of(self, command: Command) -> list[Target]:
        """The Jobs meant; waits for one to appear, because a command may overtake its request. Raises `Refusal`."""
        deadline = time.monotonic() + self._settings.control_wait
        while not (jobs := self._known(command) or await self._ended(command)) or _is_newer(command, jobs):
            if time.monotonic() >= deadline:
                raise _nobody_to_command(command, jobs)
            # A newer one may take the lead meanwhile, and this command with it.
            await asyncio.sleep(LOOK_SECONDS)
        if command.request_source is not None:
            jobs = [job for job in jobs if job.source == command.request_source]
            if not jobs:
                raise Refusal("UNKNOWN", f"no Job of request {command.subject!r} from {command.request_source!r}")
        elif len({job.source for job in jobs}) > 1:
            sources = ", ".join(sorted({job.source for job in jobs}))
            raise Refusal("AMBIGUOUS", f"several sources use this id; name one as requestsource: {sources}")
        return jobs

    def _known(self, command: Command) -> list[Target]:
        """The last attempt of each request of this id, or schedules of it."""
        found: dict[tuple[str, str], Job] = {}
        for job in sorted(self._cache.jobs(), key=lambda job: job.attempt):
            if job.request_id == command.subject:
                found[job.namespace, attempt_name(job, 1)] = job
        schedules = (one for one in self._cache.schedules.all() if one.request_id == command.subject)
        return [*found.values(), *schedules]

    async def _ended(self, command: Command) -> list[Target]:
        """Jobs without our finalizer are done; the cache does not hold them. Empty too when nobody answers."""
        labels = {Label.INSTANCE: self._settings.instance, Label.REQUEST: request_label(command.subject)}
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        found: list[Manifest] = []
        for namespace in self._namespaces:
            try:
                found += await self._cluster.list_jobs(namespace, selector)
            except Unavailable:
                return []
        return [job for job in _readable(found) if not job.held]

    async def _carry_out(self, command: Command, seen: Target) -> None:
        attempt = 0
        while True:
            try:
                if isinstance(seen, Schedule):
                    return await self._write_schedule(command, seen)
                return await self._write(command, seen)
            except Unavailable as error:
                attempt += 1
                logger.warning("%s waits: %s", command.verb, error)
                await asyncio.sleep(backoff(attempt, retry_after=error.retry_after))
            except Conflict:
                await asyncio.sleep(LOOK_SECONDS)
            except NotFound as error:
                raise Refusal("FINISHED", f"request {command.subject!r} has ended") from error
            except Refused as error:
                raise Refusal("FORBIDDEN", str(error)) from error
            seen = self._now(seen)

    def _now(self, seen: Target) -> Target:
        """As it is by now; a Job that was let go may have another attempt behind it."""
        key = (seen.namespace, seen.name)
        if isinstance(seen, Schedule):
            return self._cache.schedules.get(key) or seen
        return self._cache.get(key) or self._cache.get(next_key(seen)) or seen

    async def _write_schedule(self, command: Command, schedule: Schedule) -> None:
        if command.verb is ControlVerb.CANCEL and schedule.deleted is not None:
            return  # Perhaps by this very command, before we were killed.
        if schedule.deleted is not None or is_exhausted(schedule):
            raise Refusal("FINISHED", f"schedule {command.subject!r} is over")
        if command.verb is ControlVerb.CANCEL:
            await self._writes.delete_schedule(schedule)
        elif schedule.suspend is not (command.verb is ControlVerb.SUSPEND):
            await self._writes.suspend_schedule(schedule, suspend=not schedule.suspend)

    async def _write(self, command: Command, job: Job) -> None:
        if next_attempt_at(job) is not None and self._cache.get((job.namespace, job.name)) is not None:
            raise Conflict("its next attempt is on its way: that one is meant")
        if command.verb is ControlVerb.CANCEL and _cancelled_by(command, job):
            return  # Before the answer to that was lost, or we were killed.
        if job.finished or job.deleted is not None or job.verdict_of() is not None:
            raise Refusal("FINISHED", f"request {command.subject!r} has ended")
        if job.kueue and command.verb is not ControlVerb.CANCEL:
            raise Refusal("FORBIDDEN", f"Kueue decides when request {command.subject!r} runs: it can only be cancelled")
        if job.payload == Payload.PENDING and command.verb is not ControlVerb.CANCEL:
            raise Conflict("its payload is on the way: whoever brings it lets the Job go")
        await self._do(command, job)

    async def _do(self, command: Command, job: Job) -> None:
        match command.verb:
            case ControlVerb.CANCEL:
                at = self._cluster.server_time()
                verdict = Verdict(phase=Phase.CANCELLED, error_code="CANCELLED", message=_reason(command), at=at)
                await self._writes.give_verdict(job, verdict)
                self._metrics.verdicts.labels(verdict.error_code).inc()
            case ControlVerb.SUSPEND:
                await self._writes.suspend(job, by="request")
            case ControlVerb.RESUME if not job.suspend or job.queued is not None:
                pass  # It runs, or it waits for room already.
            case ControlVerb.RESUME if self._settings.governs(read_queueing(job.queueing), job.service):
                await self._writes.enqueue(job)
            case ControlVerb.RESUME:
                await self._writes.resume(job)


def _is_newer(command: Command, jobs: list[Target]) -> bool:
    return any(job.newer and command.request_source in (None, job.source) for job in jobs)


def _nobody_to_command(command: Command, jobs: list[Target]) -> Refusal:
    if not jobs:
        return Refusal("UNKNOWN", f"no Job of request {command.subject!r}")
    return Refusal("NEWER_FORMAT", f"request {command.subject!r} belongs to a newer version of jobrelay")


def _readable(found: list[Manifest]) -> Iterator[Job]:
    for manifest in found:
        with suppress(Malformed):  # Somebody else's, under our labels.
            yield job_of(manifest)


def _reason(command: Command) -> str:
    return f"cancelled by {command.source} (event {command.event_id})"


def _cancelled_by(command: Command, job: Job) -> bool:
    verdict = job.verdict_of()
    return verdict is not None and verdict.message == _reason(command)
