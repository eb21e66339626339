"""The event→Job half: consume requests, judge them, create Jobs, acknowledge. Publishes nothing but `rejected`."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Delivery, Kind, Subscription, Topic
from events.cloudevent.event import InvalidEvent
from events.identity import lifecycle_key
from events.lifecycle.events import rejected_event
from events.names import Phase
from handler.effects.launcher import Newer, Outcome
from handler.effects.publisher import Publisher, until_taken
from handler.intake.functions import Functions
from handler.intake.gate import Gate, Leaving
from handler.intake.pressure import Pressure
from handler.intake.requests import Refusal, Requests
from handler.settings.settings import Settings
from handler.telemetry.logcontext import about, also, also_event
from handler.telemetry.metrics import Metrics
from handler.telemetry.tracing import OFF, Tracing
from k8s.api.cluster import Cluster
from k8s.base import QuotaExceeded

logger = logging.getLogger(__name__)

OURS = "dev.jobrelay."
"""Beginning of the types of events that are meant for jobrelay itself."""
NEWER_DELAY = 30.0
"""Seconds until a request that only a newer version can judge is offered again, to it if it is there by then."""
BUG_DELAY = 5.0
"""Seconds until a request that met an error of ours is tried again; it counts as an attempt."""


class Intake:
    """Turns the deliveries of one broker into Jobs."""

    def __init__(
        self,
        *,
        broker: Broker,
        publisher: Publisher,
        cluster: Cluster,
        settings: Settings,
        metrics: Metrics,
        gate: Gate,
        functions: Functions,
        pressure: Pressure,
        tracing: Tracing = OFF,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = broker
        self._in_flight = metrics.messages_in_flight.labels(broker.name)
        self._processed = {
            Outcome.CREATED: metrics.messages_processed.labels(broker.name),
            Outcome.DUPLICATE: metrics.messages_duplicate.labels(broker.name),
        }
        self._publisher = publisher
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self._requests = Requests(
            broker=broker.name,
            cluster=cluster,
            settings=settings,
            functions=functions,
            metrics=metrics,
            gate=gate,
            pressure=pressure,
            tracing=tracing,
            clock=clock,
        )

    async def run(self, subscription: Subscription) -> None:
        """Until the subscription is closed and every delivery that came out of it is settled."""
        async with asyncio.TaskGroup() as group:
            async for delivery in subscription:
                # The subscription's prefetch bounds these tasks.
                group.create_task(self._handle(delivery))

    async def _handle(self, delivery: Delivery) -> None:
        about(message_id=delivery.message_id)
        with self._in_flight.track_inprogress():
            try:
                await self._judge(delivery)
            except Leaving:
                # It goes back when the subscription ends: as soon as everything else is settled.
                logger.info("not waiting for the API server any more")
            except Exception:
                logger.exception("request failed on our side")
                await until_taken(lambda: delivery.retry(BUG_DELAY))

    async def _judge(self, delivery: Delivery) -> None:
        try:
            event = self._read(delivery)
        except Refusal as refusal:
            with self._tracing.processing(delivery, None, broker=self._broker.name):
                await self._refuse(delivery, refusal)
            return
        also_event(event)
        with self._tracing.processing(delivery, event, broker=self._broker.name):
            if self._tracing.active:
                also(trace_id=self._tracing.trace_id())
            await self._serve(delivery, event)

    def _read(self, delivery: Delivery) -> CloudEvent:
        """Raises `Refusal`. Too many attempts before all else: a message may be such that reading it ends us."""
        if delivery.attempt > self._settings.max_attempts:
            raise Refusal("TOO_MANY_ATTEMPTS", f"delivered {self._settings.max_attempts} times without an outcome")
        try:
            return delivery.event()
        except InvalidEvent as error:
            raise Refusal("INVALID_EVENT", error.reason) from error

    async def _serve(self, delivery: Delivery, event: CloudEvent) -> None:
        """Launch everything the event asks for, one after the other, then settle the delivery once for all of it."""
        refused: list[Refusal] = []
        later: QuotaExceeded | Newer | None = None
        for asked in self._requests.of(event):
            if isinstance(asked, Refusal):
                refused.append(asked)
                continue
            try:
                outcome = await self._requests.launch(asked)
            except Refusal as refusal:
                refused.append(refusal)
            except (QuotaExceeded, Newer) as error:
                later = error
            else:
                self._note(outcome, event)
        if later is not None:
            # What is refused is told when nothing waits any more: until then it may come to something else.
            await self._defer(delivery, later)
        elif refused:
            await self._refuse(delivery, *refused)
        else:
            # Only now: a crash before this line redelivers, and launching is idempotent.
            await delivery.ack()

    def _note(self, outcome: Outcome, event: CloudEvent) -> None:
        self._processed[outcome].inc()
        if outcome is Outcome.CREATED and (sent := event.get_time()) is not None:
            self._metrics.event_age.observe(max(0.0, self._clock() - sent.timestamp()))
        self._tracing.came_to(outcome)
        logger.info("%s", outcome)

    async def _defer(self, delivery: Delivery, error: QuotaExceeded | Newer) -> None:
        newer = isinstance(error, Newer)
        delay = NEWER_DELAY if newer else self._settings.quota_delay
        logger.info("deferred: %s", error)
        self._tracing.came_to("deferred")
        self._metrics.messages_deferred.labels(self._broker.name, "newer_format" if newer else "quota").inc()
        await until_taken(lambda: delivery.defer(delay))

    async def _refuse(self, delivery: Delivery, *refused: Refusal) -> None:
        """Say so on the lifecycle topic if anything identifies the requests, keep the original, be done with it."""
        claims = _claims(delivery)
        for refusal in refused:
            await self._tell(delivery, refusal, claims)
        code, reason = refused[0].code, "; ".join(str(refusal) for refusal in refused)
        await until_taken(lambda: delivery.reject(code, reason))
        for refusal in refused:
            self._metrics.messages_failed.labels(self._broker.name, refusal.code).inc()

    async def _tell(self, delivery: Delivery, refusal: Refusal, claims: "_Claims") -> None:
        about = refusal.about
        request_id, service = (about.request_id, about.service) if about else (claims.request_id, claims.service)
        also(job_id=request_id)
        logger.info("rejected: %s", refusal, extra={"code": refusal.code})
        self._tracing.came_to("rejected", error=refusal.code, message=str(refusal))
        if request_id is None:
            return
        event = rejected_event(
            instance=self._settings.instance,
            event_attributes=claims.attributes,
            code=refusal.code,
            message=str(refusal),
            fields=refusal.fields,
            replays=delivery.replays,
            service=service,
            request_id=request_id,
            function=about.function if about else "",
        )
        topic = Topic(Kind.LIFECYCLE, lifecycle_key(service, request_id, Phase.REJECTED))
        await until_taken(lambda: self._publisher.publish(topic, event, broker=self._broker.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claims:
    """What a delivery says of itself, believed only for telling its sender that it was refused."""

    attributes: Mapping[str, str]
    request_id: str | None
    service: str | None


def _claims(delivery: Delivery) -> _Claims:
    try:
        event = delivery.event()
    except InvalidEvent as error:
        return _Claims(attributes=error.attributes, request_id=error.attributes.get("id"), service=None)
    # Other producers' data say nothing to us; one who only got the type wrong listens where its request says.
    data = event.get_data() if event.get_type().startswith(OURS) else None
    claimed = data if isinstance(data, dict) else {}
    request_id, service = claimed.get("id"), claimed.get("service")
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    return _Claims(
        attributes=attributes,
        request_id=request_id if isinstance(request_id, str) and request_id else event.get_id(),
        service=service if isinstance(service, str) and service else None,
    )
