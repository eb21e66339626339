"""Control events: cancel, suspend, resume, run, replay, drop. Consumed by the leader only, each answered."""

import asyncio
import logging
from functools import partial

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Delivery, Kind, Subscription, Topic
from events.cloudevent.event import expired
from events.jobs.observed import Job, Schedule, Verdict
from events.lifecycle.schedules import run_id, run_time
from events.phases import Phase
from events.problems import InvalidRequest
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
from handler.controller.letters import Letters
from handler.controller.rulings import Step, cancellation, rule, rule_schedule
from handler.controller.targets import Target, Targets
from handler.controller.term import Term
from handler.controller.triggers import Triggers
from handler.controller.waitingroom import PutBack
from handler.effects.deliveries import Rejection, processing, read, surviving
from handler.effects.repeating import until_answered, until_taken
from handler.effects.services import Services
from handler.telemetry.logcontext import also
from k8s.background import beside
from k8s.base import NotFound, Refused

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""Seconds until a look at a Job that is about to change."""
IN_HAND_SECONDS = 10.0
"""Seconds that a command may take to be carried out. Then it waits at the broker, and others have its place."""
AGAIN_SECONDS, LONGEST_SECONDS = 5.0, 300.0
"""Seconds that it waits there: doubled with each attempt."""
MAX_COMMAND = 65_536
"""Bytes of a control event: it has no data."""


class Control:
    """Carries out the control events of one broker for one term of leadership. `letters`: that broker's."""

    def __init__(self, services: Services, term: Term, *, broker: str, triggers: Triggers, letters: Letters) -> None:
        self._cluster = services.cluster
        self._settings = services.settings
        self._metrics = services.metrics
        self._publisher = services.publisher
        self._tracing = services.tracing
        self._writes = term.writes
        self._targets = Targets(services, term)
        self._triggers = triggers
        self._letters = letters
        self._broker = broker
        self._until_taken = partial(until_taken, broker=broker, outages=services.outages)

    async def run(self, subscription: Subscription) -> None:
        """Carry out commands until cancelled. Raises `LeadershipLost` (in a group)."""
        async with beside(self._targets.run()), asyncio.TaskGroup() as group:
            async for delivery in subscription:
                group.create_task(
                    surviving(
                        delivery,
                        self._process,
                        what="command",
                        max_attempts=self._settings.max_attempts,
                        give_up=self._give_up,
                        until_taken=self._until_taken,
                    )
                )

    async def _process(self, delivery: Delivery) -> None:
        try:
            most = self._settings.max_attempts
            event = read(delivery, max_attempts=most, max_bytes=MAX_COMMAND, limit="a control event has at most")
        except Rejection as rejection:
            code, reason = rejection.code, str(rejection)
            await self._until_taken(lambda: delivery.reject(code, reason))
            return
        with processing(delivery, event, broker=self._broker, tracing=self._tracing):
            await self._serve(delivery, event)

    async def _serve(self, delivery: Delivery, event: CloudEvent) -> None:
        try:
            command = parse_control(event)
        except InvalidRequest as error:
            await self._refuse(delivery, event, Rejection("INVALID_REQUEST", str(error)))
            return
        if command.letter is None:
            also(job_id=command.subject)
        try:
            answer, outcome = await self._answer(command, waited=delivery.waited)
        except PutBack as later:
            if later.counts and delivery.attempt >= self._settings.max_attempts:
                message = f"not carried out at {delivery.attempt} attempts: {later.why}"
                await self._refuse(delivery, event, Rejection("UNAVAILABLE", message))
            else:
                await self._put_back(delivery, later)
            return
        self._metrics.control.labels(command.verb, outcome).inc()
        self._tracing.set_outcome(outcome)
        await self._publish(command.event_id, outcome, answer)
        await self._until_taken(delivery.ack)

    async def _put_back(self, delivery: Delivery, later: PutBack) -> None:
        logger.info("%s", later)
        self._tracing.set_outcome("deferred")
        self._metrics.control_put_back.inc()
        if later.counts:
            delay = min(later.delay * 2 ** (delivery.attempt - 1), LONGEST_SECONDS)
            await self._until_taken(lambda: delivery.retry(delay))
        else:
            await self._until_taken(lambda: delivery.defer(later.delay))

    async def _give_up(self, delivery: Delivery, rejection: Rejection) -> None:
        await self._refuse(delivery, delivery.event(), rejection)

    async def _refuse(self, delivery: Delivery, event: CloudEvent, rejection: Rejection) -> None:
        code, reason = rejection.code, str(rejection)
        answer = refused(event, instance=self._settings.instance, code=code, message=reason)
        self._metrics.control.labels("unknown", REJECTED).inc()
        self._tracing.set_outcome(REJECTED, error=code, message=reason)
        await self._publish(event.get_id(), REJECTED, answer)
        await self._until_taken(lambda: delivery.reject(code, reason))

    async def _publish(self, event_id: str, outcome: str, answer: CloudEvent) -> None:
        topic = Topic(Kind.LIFECYCLE, control_key(event_id, outcome))
        await self._until_taken(lambda: self._publisher.publish(topic, answer, broker=self._broker))

    async def _answer(self, command: Command, *, waited: float) -> tuple[CloudEvent, str]:
        """Carry out the command. Returns the answer to publish, and whether it is `ACCEPTED` or `REJECTED`.

        `waited`: seconds that it has waited at the broker. Raises `PutBack`.
        """
        instance = self._settings.instance
        targets: list[Target] = []
        runs: list[Job] = []
        try:
            if expired(command.event, self._cluster.server_time()):
                raise Rejection("EXPIRED", "its expirytime is past")
            if command.letter is not None:
                await self._letters.carry_out(command)
            else:
                targets = await self._targets.of(command, waited=waited)
                runs = [run for target in targets if (run := await self._carry_out(command, target)) is not None]
        except Rejection as rejection:
            logger.info("%s refused: %s", command.verb, rejection)
            source = targets[0].source if targets else None
            code, message = rejection.code, str(rejection)
            return refused(command, instance=instance, code=code, message=message, source=source), REJECTED
        logger.info("%s accepted", command.verb)
        # They have one source: of several, the command would have had to name one.
        source = targets[0].source if targets else None
        jobs = [one.name for one in runs or targets]
        made = run_id(command.subject, run_time(runs[0])) if runs else None
        return accepted(command, instance=instance, jobs=jobs, source=source, run=made), ACCEPTED

    async def _carry_out(self, command: Command, target: Target) -> Job | None:
        """Returns the run that was made, if the command asks for one."""
        seen = target

        async def write() -> Job | None:
            nonlocal seen
            seen = self._targets.now(seen)
            return await self._write(command, seen)

        def complain(error: Exception) -> None:
            logger.warning("%s waits: %s", command.verb, error)

        try:
            # What keeps this Job from being written may last, and concerns no other.
            async with asyncio.timeout(IN_HAND_SECONDS):
                return await until_answered(write, complain=complain, conflict_seconds=LOOK_SECONDS)
        except TimeoutError as error:
            raise PutBack(AGAIN_SECONDS, counts=True, why="the API server takes no write of it") from error
        except NotFound as error:
            raise Rejection("FINISHED", "the request has ended") from error
        except Refused as error:
            raise Rejection("FORBIDDEN", str(error)) from error

    async def _write(self, command: Command, seen: Target) -> Job | None:
        if command.verb is ControlVerb.RUN:
            if not isinstance(seen, Schedule):
                raise Rejection("NO_SCHEDULE", "it is no schedule: only a schedule can be run now")
            return await self._triggers.make(command, seen)
        if isinstance(seen, Schedule):
            await self._write_schedule(rule_schedule(command, seen), seen)
        else:
            step = rule(command, seen, followed=self._targets.is_followed(seen), settings=self._settings)
            await self._write_job(step, command, seen)
        return None

    async def _write_schedule(self, step: Step, schedule: Schedule) -> None:
        if step is Step.CANCEL:
            await self._writes.delete_schedule(schedule)
        elif step is not Step.NOTHING:
            await self._writes.suspend_schedule(schedule, suspend=step is Step.SUSPEND)

    async def _write_job(self, step: Step, command: Command, job: Job) -> None:
        match step:
            case Step.CANCEL:
                at = self._cluster.server_time()
                message = cancellation(command)
                verdict = Verdict(phase=Phase.CANCELLED, error_code="CANCELLED", message=message, at=at)
                await self._writes.give_verdict(job, verdict)
                self._metrics.verdicts.labels(verdict.error_code).inc()
            case Step.SUSPEND:
                await self._writes.suspend(job, by="request")
            case Step.ENQUEUE:
                await self._writes.enqueue(job)
            case Step.RESUME:
                await self._writes.resume(job)
            case Step.NOTHING:
                pass
