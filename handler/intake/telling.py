"""Tells who asked that an event became no Job. Does not settle deliveries."""

import logging

from adapters.base import Delivery, Kind, Topic
from events.identity import lifecycle_key
from events.lifecycle.events import rejected_event
from events.phases import Phase
from handler.effects.deliveries import Rejection
from handler.effects.repeating import until_taken
from handler.effects.services import Services
from handler.intake.claims import Claims
from handler.policy import may_reply
from handler.telemetry.logcontext import also

logger = logging.getLogger(__name__)


class Telling:
    """Publishes `rejected` for the deliveries of one broker."""

    def __init__(self, services: Services, *, broker: str) -> None:
        self._settings = services.settings
        self._tracing = services.tracing
        self._publisher = services.publisher
        self._outages = services.outages
        self._broker = broker

    async def rejected(self, delivery: Delivery, rejection: Rejection, claims: Claims, *, hold: bool) -> None:
        """Return once it is told, or if nothing identifies the request.

        Raises `ReplyHeld` unless it is to `hold` the delivery while its reply topic is tried.
        """
        about = rejection.about
        request_id, service = (about.request_id, about.service) if about else (claims.request_id, claims.service)
        also(job_id=request_id)
        self._tracing.set_outcome("rejected", error=rejection.code, message=str(rejection))
        if request_id is not None:
            event = rejected_event(
                instance=self._settings.instance,
                event_attributes=claims.attributes,
                code=rejection.code,
                message=str(rejection),
                fields=rejection.fields,
                replays=delivery.replays,
                service=service,
                request_id=request_id,
                function=about.function if about else "",
            )
            topic = Topic(Kind.LIFECYCLE, lifecycle_key(service, request_id, Phase.REJECTED))
            reply_to = self._reply_to(claims)
            await until_taken(
                lambda: self._publisher.publish(topic, event, broker=self._broker, reply_to=reply_to),
                broker=self._broker,
                outages=self._outages,
                hold=hold,
            )
        logger.info("rejected: %s", rejection, extra={"code": rejection.code, **claims.foreign_type})

    def _reply_to(self, claims: Claims) -> str | None:
        """The topic that the event names. One that it may not name is not even repeated."""
        wanted = claims.attributes.get("replyto")
        return wanted if wanted is not None and may_reply(wanted, self._settings.reply_topics) else None
