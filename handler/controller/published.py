"""Publishes transitions of Jobs and schedules, each of them once in a term. Does not find out what happened."""

import logging
from collections.abc import Sequence

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from events.identity import lifecycle_key
from events.jobs.observed import Ours
from events.lifecycle.transitions import Transition
from events.phases import Phase
from handler.controller.term import Term
from handler.controller.workqueue import Key
from handler.effects.services import Services

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 10.0
"""A new leader repeats what happened this long before the former one's `published-to`: clocks and watches lag."""


class Published:
    """What is out, by the namespace and name of the Job or CronJob. Another object of that name starts anew."""

    def __init__(self, services: Services, term: Term) -> None:
        self._services = services
        self._repeat_from = (term.previous or 0.0) - REPEAT_SECONDS
        # A set of one takes four times as much as a tuple, and thousands of Jobs have told one thing.
        self._out: dict[Key, tuple[str, tuple[str, ...]]] = {}

    def has(self, key: Key, seen: Ours, transition: Transition) -> bool:
        """Whether it is out: this term has published it, or the former leader has vouched for all up to then."""
        if transition.key in self._of(key, seen):
            return True
        return not transition.phase.traits.repeated and transition.time < self._repeat_from

    async def publish(self, key: Key, seen: Ours, transition: Transition, event: CloudEvent) -> None:
        """Return once a broker has stored it, and remember that. Raises `BrokerUnavailable`."""
        topic = Topic(Kind.LIFECYCLE, lifecycle_key(seen.service, seen.request_id, transition.phase))
        await self._services.publisher.publish(topic, event, broker=seen.broker, reply_to=seen.reply_to)
        self._out[key] = (seen.uid, (*self._of(key, seen), transition.key))
        delay = self._services.cluster.server_time() - transition.time
        self._services.metrics.lifecycle_delay.observe(max(0.0, delay))
        logger.info("%s", transition.phase)

    def forget(self, key: Key) -> None:
        """It is gone, or let go."""
        self._out.pop(key, None)

    def forget_past_progress(self, key: Key, seen: Ours, shown: Sequence[Transition]) -> None:
        """Progress that is no longer shown never comes again: a Job that runs for weeks must not remember all of it."""
        out = self._of(key, seen)
        if any(_is_progress(told) for told in out):
            now = {transition.key for transition in shown}
            self._out[key] = (seen.uid, tuple(told for told in out if told in now or not _is_progress(told)))

    def _of(self, key: Key, seen: Ours) -> tuple[str, ...]:
        uid, out = self._out.get(key, (seen.uid, ()))
        return out if uid == seen.uid else ()


def _is_progress(key: str) -> bool:
    return key.startswith(f"{Phase.PROGRESS}/")
