"""Publishes lifecycle events: to the requester's topic; if that refuses, to the default topic, shortened if need be."""

import logging
from collections.abc import Mapping, Sequence

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, BrokerUnavailable, Kind, Topic, TopicRefused
from events.lifecycle.events import least, shortened, undelivered
from handler.effects.replies import Replies, ReplyHeld
from handler.policy import may_reply
from handler.telemetry.metrics import Metrics
from handler.telemetry.tracing import OFF, Tracing

logger = logging.getLogger(__name__)


class Untaken(BrokerUnavailable):
    """The broker of this name does not take the event now."""

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(reason)
        self.broker = broker


class Publisher:
    """Publishes to the broker that a request came from, or to the default broker if that is no longer configured.

    `brokers`: those that are connected, by name. `configured`: all names, the default first. `reply_topics`: patterns
    of the topics that requests may name.
    """

    def __init__(
        self,
        brokers: Mapping[str, Broker],
        configured: Sequence[str],
        metrics: Metrics,
        *,
        reply_topics: Sequence[str],
        tracing: Tracing = OFF,
    ) -> None:
        self._brokers = brokers
        self._configured = configured
        self._metrics = metrics
        self._reply_topics = reply_topics
        self._replies = Replies()
        self._tracing = tracing

    async def publish(
        self, topic: Topic, event: CloudEvent, *, broker: str | None = None, reply_to: str | None = None
    ) -> None:
        """Return once a broker has stored it. Raises `Untaken`, after which the same call may be repeated, and
        `ReplyHeld`, which says when, instead of waiting between the tries on a reply topic.

        What no broker can ever take, not even in its shortest form, is given up with an error in the log and a metric.

        `topic` is the default topic, `reply_to` the requester's own, `broker` the name of the broker it came from.
        """
        name = broker if broker and broker in self._configured else self._configured[0]
        chosen = self._brokers.get(name)
        if chosen is None:
            raise Untaken(name, "never connected so far")
        if name != broker:
            reply_to = None  # A topic of another broker means nothing on this one.
        try:
            if reply_to is None:
                await self._publish_default(chosen, topic, event)
            else:
                await self._publish_reply(chosen, Topic(Kind.REPLY, reply_to), topic, event)
        except ReplyHeld:
            raise
        except BrokerUnavailable as error:
            raise Untaken(name, str(error)) from error

    async def _publish_reply(self, broker: Broker, wanted: Topic, default: Topic, event: CloudEvent) -> None:
        refusal = await self._try_reply(broker, wanted, event)
        if refusal is None:
            return
        event = undelivered(event, topic=wanted.key, reason=refusal.reason)
        if await self._publish_default(broker, default, event):
            # Only now: while the default topic takes nothing either, the same event comes again.
            self._metrics.lifecycle_undelivered.inc()

    async def _try_reply(self, broker: Broker, topic: Topic, event: CloudEvent) -> TopicRefused | None:
        """None once it is published, else why it has to go elsewhere. Raises `BrokerUnavailable`, `ReplyHeld`."""
        if not may_reply(topic.key, self._reply_topics):
            # Intake has judged it; but whoever may write Jobs may have written this one.
            return TopicRefused(topic, "not allowed by JOBRELAY_REPLY_TOPICS")
        self._replies.check(broker.name, topic)
        try:
            await self._send(broker, topic, event)
        except TopicRefused as error:
            if not error.too_large:  # That is up to the event: the topic may take others.
                self._replies.refused(broker.name, topic, error)
            return error
        self._replies.taken(broker.name, topic)
        return None

    async def _publish_default(self, broker: Broker, topic: Topic, event: CloudEvent) -> bool:
        """Whether it is published; else it is lost."""
        refusal = ""
        for form in (_whole, shortened, least):
            try:
                await self._send(broker, topic, form(event))
            except TopicRefused as error:
                if not error.too_large:
                    # Our own topology is missing or closed to us: an operator can fix that, so the Job waits.
                    raise BrokerUnavailable(str(error)) from error
                refusal = error.reason
            else:
                return True
        # Waiting would hold up the request, and whatever comes behind it, for as long as the broker stays as it is.
        self._metrics.lifecycle_given_up.inc()
        logger.error("an event is lost: %s takes it in no form, however short: %s", broker.name, refusal)
        return False

    async def _send(self, broker: Broker, topic: Topic, event: CloudEvent) -> None:
        try:
            with (
                self._metrics.publish_seconds.time(),
                self._tracing.publishing(topic, event, broker=broker.name) as traced,
            ):
                await broker.publish(topic, traced)
        except (BrokerUnavailable, TopicRefused):
            self._metrics.publish_failures.inc()
            raise
        self._metrics.lifecycle_published.labels(event.get_type().rpartition(".")[2]).inc()


def _whole(event: CloudEvent) -> CloudEvent:
    return event
