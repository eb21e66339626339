"""The event→Job half: consume requests, judge them, create Jobs, acknowledge. Publishes only `rejected`."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Delivery, Subscription
from events.cloudevent.event import Arrived
from events.functions.functions import Asked
from handler.effects.apart import LARGE
from handler.effects.deliveries import Rejection, identified, processing, read, surviving
from handler.effects.launcher import BeingDeleted, Newer, Outcome
from handler.effects.repeating import until_taken
from handler.effects.replies import ReplyHeld
from handler.effects.services import Services
from handler.intake.claims import claims_of, claims_unread
from handler.intake.gate import Leaving
from handler.intake.launching import Unmade
from handler.intake.pressure import Crowded
from handler.intake.requests import Requests
from handler.intake.slots import NoSlot
from handler.intake.telling import Telling
from handler.telemetry.metrics import Deferral
from k8s.base import QuotaExceeded

logger = logging.getLogger(__name__)

NEWER_DELAY = 30.0
"""Seconds until a request that only a newer version can judge is offered again, perhaps to that version."""
DELETION_DELAY = 1.0
"""Seconds until a request whose former Job is being deleted is offered again: its pods may have a grace period."""
LONGEST_DELAY = 300.0
"""The most seconds between two attempts: 20 attempts take about an hour."""

Later = QuotaExceeded | Newer | BeingDeleted | NoSlot | Crowded
LATER = (QuotaExceeded, Newer, BeingDeleted, NoSlot, Crowded)


class Intake:
    """Turns the deliveries of one broker into Jobs."""

    def __init__(
        self,
        services: Services,
        *,
        broker: Broker,
        requests: Requests,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = broker
        self._requests = requests
        self._clock = clock
        self._telling = Telling(services, broker=broker.name)
        self._settings = services.settings
        self._most = services.settings.max_request_bytes
        self._tracing = services.tracing
        self._until_taken = partial(until_taken, broker=broker.name, outages=services.outages)
        self._metrics = metrics = services.metrics
        self._in_flight = 0
        metrics.messages_in_flight.labels(broker.name).set_function(lambda: self._in_flight)
        self._processed = {
            Outcome.CREATED: metrics.messages_processed.labels(broker.name),
            Outcome.DUPLICATE: metrics.messages_duplicate.labels(broker.name),
        }

    async def run(self, subscription: Subscription) -> None:
        """Take requests in until the subscription is closed and all its deliveries are settled."""
        async with asyncio.TaskGroup() as group:
            async for delivery in subscription:
                # The subscription's prefetch bounds these tasks, `LaneSlots` their calls.
                group.create_task(self._handle(delivery))

    async def _handle(self, delivery: Delivery) -> None:
        self._in_flight += 1
        try:
            await surviving(
                delivery,
                self._process,
                what="request",
                max_attempts=self._settings.max_attempts,
                give_up=self._give_up,
                until_taken=self._until_taken,
            )
        finally:
            self._in_flight -= 1

    async def _process(self, delivery: Delivery) -> None:
        try:
            if len(delivery.body) <= LARGE:
                event, wanted = self._read(delivery), None
            else:
                event, wanted = await self._requests.apart.do(lambda: self._begun(delivery))
        except Rejection as rejection:
            with self._tracing.processing(delivery, None, broker=self._broker.name):
                await self._reject(delivery, rejection)
            return
        try:
            with processing(delivery, event, broker=self._broker.name, tracing=self._tracing):
                await self._serve(delivery, event, self._requests.of(event) if wanted is None else wanted)
        except Leaving:
            # Unsettled, it goes back when the subscription ends: as soon as everything else is settled.
            logger.info("not waiting for the API server any more")

    def _read(self, delivery: Delivery) -> CloudEvent:
        return read(delivery, max_attempts=self._settings.max_attempts, max_bytes=self._most)

    def _begun(self, delivery: Delivery) -> tuple[CloudEvent, list[Asked | Rejection] | None]:
        """A large event, with all that needs its data in memory: the requests that it makes; None: not looked for."""
        event = self._read(delivery)
        if not isinstance(event, Arrived):
            return event, None
        wanted = self._requests.of(event)
        event.let_go()
        return event, wanted

    async def _serve(self, delivery: Delivery, event: CloudEvent, wanted: list[Asked | Rejection]) -> None:
        """Launch everything the event asks for, in turn, then settle the delivery once for all of it."""
        # A delivery that was deferred because of one of its requests may have launched the others before.
        repeated = delivery.attempt > 1 or len(wanted) > 1
        later: Later | None = None
        unmade: Unmade | None = None
        failed: list[Rejection | Unmade] = []
        for asked in wanted:
            error = await self._launch(asked, event, repeated=repeated)
            if isinstance(error, LATER):
                later = error
            elif error is not None:
                failed.append(error)
                unmade = error if isinstance(error, Unmade) else unmade
        if later is not None:
            # While part is deferred, report no rejection: on redelivery it may come out differently.
            await self._defer(delivery, later)
        elif unmade is not None and delivery.attempt < self._settings.max_attempts:
            await self._retry(delivery, unmade)
        elif failed:
            await self._reject(delivery, *(_final(error, delivery) for error in failed), event=event)
        else:
            # Only now: a crash before this line redelivers, and launching is idempotent.
            await delivery.ack()

    async def _launch(
        self, asked: Asked | Rejection, event: CloudEvent, *, repeated: bool
    ) -> Rejection | Later | Unmade | None:
        """Why there is no Job of what is asked for; None if there is."""
        if isinstance(asked, Rejection):
            return asked
        try:
            outcome = await self._requests.launch(asked, repeated=repeated)
        except (Rejection, Unmade, *LATER) as error:
            return error
        self._report(outcome, event)
        return None

    def _report(self, outcome: Outcome, event: CloudEvent) -> None:
        self._processed[outcome].inc()
        if outcome is Outcome.CREATED and (sent := event.get_time()) is not None:
            self._metrics.event_age.observe(max(0.0, self._clock() - sent.timestamp()))
        self._tracing.set_outcome(outcome)
        logger.info("%s", outcome)

    async def _retry(self, delivery: Delivery, error: Unmade) -> None:
        """Give it back; that counts as an attempt."""
        delay = min(LONGEST_DELAY, 2.0 ** min(delivery.attempt - 1, 16))
        reason = Deferral.NAMESPACE if error.code == "NAMESPACE_GONE" else Deferral.UNAVAILABLE
        logger.warning("tried again later: %s", error, extra={"attempt": delivery.attempt, "seconds": delay})
        self._tracing.set_outcome("retried")
        self._metrics.messages_deferred.labels(self._broker.name, reason).inc()
        await self._until_taken(lambda: delivery.retry(delay))

    async def _defer(self, delivery: Delivery, error: Later) -> None:
        if isinstance(error, Newer):
            reason, delay = Deferral.NEWER_FORMAT, NEWER_DELAY
        elif isinstance(error, BeingDeleted):
            reason, delay = Deferral.DELETION, DELETION_DELAY
        elif isinstance(error, NoSlot):
            reason, delay = Deferral.HANGING, error.delay
        elif isinstance(error, Crowded):
            reason, delay = Deferral.SHARE, error.delay
        else:
            reason, delay = Deferral.QUOTA, self._settings.quota_delay
        # Of those there may be hundreds a second; `Pressure` says when it begins.
        logger.log(logging.DEBUG if isinstance(error, Crowded) else logging.INFO, "deferred: %s", error)
        self._tracing.set_outcome("deferred")
        self._metrics.messages_deferred.labels(self._broker.name, reason).inc()
        await self._until_taken(lambda: delivery.defer(delay))

    async def _give_up(self, delivery: Delivery, rejection: Rejection) -> None:
        await self._reject(delivery, identified(rejection, delivery))

    async def _reject(self, delivery: Delivery, *rejected: Rejection, event: CloudEvent | None = None) -> None:
        """Publish `rejected` if anything identifies the requests, and put the original among the dead letters."""
        code, reason = rejected[0].code, "; ".join(map(str, rejected))
        ended = delivery.attempt > self._settings.max_attempts
        if ended:
            # First of all: to read it again may be what kills the process.
            await self._until_taken(lambda: delivery.reject(code, reason))
        claims = claims_unread(delivery, rejected[0]) if event is None else claims_of(event)
        try:
            for rejection in rejected:
                await self._telling.rejected(delivery, rejection, claims, hold=ended)
        except ReplyHeld as held:
            # Waiting here would keep others out. Whoever gets it next judges it anew, and has told nothing else.
            self._metrics.messages_deferred.labels(self._broker.name, Deferral.REPLY).inc()
            delay = held.retry_after
            await self._until_taken(lambda: delivery.defer(delay))
            return
        if not ended:
            await self._until_taken(lambda: delivery.reject(code, reason))
        for rejection in rejected:
            self._metrics.messages_failed.labels(self._broker.name, rejection.code).inc()


def _final(error: Rejection | Unmade, delivery: Delivery) -> Rejection:
    """The rejection that ends the delivery at its last attempt."""
    if isinstance(error, Rejection):
        return error
    message = f"not taken at {delivery.attempt} attempts, the last time: {error}"
    return Rejection(error.code, message, about=error.about)
