"""Publishes transitions of Jobs and schedules, each once in a term. Does not find out what happened."""

import logging
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from events.identity import lifecycle_key
from events.jobs.observed import Ours
from events.lifecycle.transitions import Transition
from events.phases import Phase
from handler.controller.term import Term
from handler.effects.services import Services
from k8s.base import Key

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 10.0
"""A new leader repeats what happened this long before the former leader's `published-to`: clocks and watches lag."""
FEW = 16
"""Transitions of an object up to which they are looked through one by one."""


# Tuples: a set of one key takes four times the memory, and thousands of Jobs have published a single event.
# A Job of ten thousand pods that fail has published as many.
Told = tuple[str, ...] | set[str]
"""The keys of what is out."""


class _Out(msgspec.Struct, frozen=True, gc=False):
    """What is out of the object of this uid."""

    uid: str
    told: Told


class Published:
    """What this term has published, by namespace and name of the Job or CronJob. A new object starts anew."""

    def __init__(self, services: Services, term: Term) -> None:
        self._services = services
        self._repeat_from = (term.previous or 0.0) - REPEAT_SECONDS
        self._out: dict[Key, _Out] = {}

    def has(self, key: Key, seen: Ours, transition: Transition) -> bool:
        """Whether it is out: published in this term, or the former leader has vouched for everything up to then."""
        if transition.key in self._told(key, seen):
            return True
        return not transition.phase.traits.repeated and transition.time < self._repeat_from

    def has_created(self, key: Key, seen: Ours) -> bool:
        """What `has` says of its `created`, which need not be made for that."""
        return Phase.CREATED in self._told(key, seen) or seen.created < self._repeat_from

    async def publish(self, key: Key, seen: Ours, transition: Transition, event: CloudEvent) -> None:
        """Return once a broker has stored it, and remember that. Raises `BrokerUnavailable`."""
        topic = Topic(Kind.LIFECYCLE, lifecycle_key(seen.service, seen.request_id, transition.phase))
        await self._services.publisher.publish(topic, event, broker=seen.broker, reply_to=seen.reply_to)
        self._out[key] = _Out(seen.uid, _with(self._told(key, seen), transition.key))
        delay = self._services.cluster.server_time() - transition.time
        self._services.metrics.lifecycle_delay.observe(max(0.0, delay))
        logger.info("%s", transition.phase)

    def forget(self, key: Key) -> None:
        """The object is gone, or has lost our finalizer."""
        self._out.pop(key, None)

    def forget_past_progress(self, key: Key, seen: Ours, shown: Sequence[Transition]) -> None:
        """Forget progress that is no longer shown: it never comes again, and piles up for a Job that runs for weeks."""
        told = self._told(key, seen)
        if any(map(_is_progress, told)):
            now = {transition.key for transition in shown}
            kept = [past for past in told if past in now or not _is_progress(past)]
            self._out[key] = _Out(seen.uid, tuple(kept) if len(kept) < FEW else set(kept))

    def _told(self, key: Key, seen: Ours) -> Told:
        out = self._out.get(key)
        return out.told if out is not None and out.uid == seen.uid else ()


def _with(told: Told, new: str) -> Told:
    if isinstance(told, tuple) and len(told) < FEW:
        return _after(told, new)
    whole = told if isinstance(told, set) else set(told)
    whole.add(new)
    return whole


# Nearly all Jobs have published the same: they share that tuple.
@lru_cache(maxsize=256)
def _after(told: tuple[str, ...], new: str) -> tuple[str, ...]:
    return (*told, new)


def _is_progress(key: str) -> bool:
    return key.startswith(f"{Phase.PROGRESS}/")
