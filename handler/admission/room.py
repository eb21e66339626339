"""The room in one decision: what is taken, and what is reserved for Jobs that come first. Their order: order.py."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from events.names import Reason
from handler.admission.data import Entry, Limits

_LIMIT = Reason.LIMIT
"""The answer to nearly all of a long queue: looking it up in its class each time would cost more than all the rest."""


def never_fits(entry: Entry, limits: Limits) -> str | None:
    """Why a Job could not run even if no other Job did, in words for people; None if it could."""
    if limits.gpus is not None and entry.gpus > limits.gpus:
        return f"it asks for more GPUs than JOBRELAY_MAX_ACTIVE_GPUS allows: at most {limits.gpus}"
    if limits.total == 0:
        return _allows_none("JOBRELAY_MAX_ACTIVE")
    if limits.per_namespace == 0:
        return _allows_none("JOBRELAY_MAX_ACTIVE_PER_NAMESPACE")
    if limits.per_service == 0 and entry.service:
        return _allows_none("JOBRELAY_MAX_ACTIVE_PER_SERVICE")
    if limits.per_key == 0 and entry.concurrency is not None:
        return _allows_none("JOBRELAY_MAX_ACTIVE_PER_KEY")
    if entry.limit is not None and entry.limit < 1 and entry.concurrency is not None:
        return _allows_none("concurrency.limit")
    return None


def _allows_none(limit: str) -> str:
    return f"{limit} allows no Job at all: at least 1 is needed"


class Room:
    """The room left in one decision. Ask about Jobs in admission order, without those that `never_fits` rules out."""

    def __init__(self, limits: Limits, active: Iterable[Entry]) -> None:
        self._most = _or_endless(limits.total)
        self._most_in_service = _or_endless(limits.per_service)
        self._most_in_namespace = _or_endless(limits.per_namespace)
        self._most_on_key = _or_endless(limits.per_key)
        self._most_gpus = _or_endless(limits.gpus)
        self._active = 0
        self._gpus = 0
        self._services: defaultdict[str, int] = defaultdict(int)
        self._namespaces: defaultdict[str, int] = defaultdict(int)
        self._keys: defaultdict[str, int] = defaultdict(int)
        self._own_keys: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        self._own_gpus: defaultdict[str, int] = defaultdict(int)
        self._key_limits: dict[str, float] = {}
        self._alone: set[str] = set()
        self._reserved_keys: set[str | None] = set()
        self._reserved_services: set[str] = set()
        self._reserved_shared: set[str] = set()
        self._reserved_gpus: set[str | None] = set()
        """The services that may take no GPUs; None for all."""
        for entry in active:
            self._occupy(entry)

    @property
    def services(self) -> Mapping[str, int]:
        """How many Jobs are active in each service by now; 0 in any other service."""
        return self._services

    def ask(self, entry: Entry, overdue: bool) -> Reason | None:
        """Let the Job in (None); or say why it waits, and reserve what it waits for against all Jobs asked later.

        For an `overdue` Job, reserve all it uses: else its key and its GPUs could be free in turns, never together.
        GPUs are reserved against other services only if none of its own service's Jobs is in its way.
        """
        # Nothing ends during a decision: total, namespace and service, once full, stay full for all Jobs asked later,
        # and need no reservation.
        if self._active >= self._most:
            return _LIMIT
        service, key, gpus = entry.service, entry.concurrency, entry.gpus
        beside = self._services[service]
        no_place = self._namespaces[entry.key[0]] >= self._most_in_namespace
        no_share = beside >= self._most_in_service and service != ""
        no_gpus = gpus > 0 and self._gpus + gpus > self._most_gpus
        not_alone = service in self._alone or (entry.exclusive and beside > 0)
        reached = None if key is None else self._reached(key, entry.limit)
        lacks_limit = no_place or no_share or no_gpus or (reached is not None and reached > 1)
        lacks = lacks_limit or not_alone or reached is not None
        if not lacks and not self._is_reserved(entry):
            self._occupy(entry)
            return None
        if overdue:
            self._reserve_all(entry)
        if not_alone:
            self._reserved_services.add(service)
        if no_gpus or (overdue and gpus > 0 and self._most_gpus < math.inf):
            own_doing = no_share or not_alone or self._is_own_doing(entry, reached)
            self._reserved_gpus.add(service if own_doing else None)
        if reached is not None:
            self._reserved_keys.add(key)
        if lacks_limit:
            return _LIMIT
        return Reason.EXCLUSIVE if lacks else Reason.PRIORITY

    def _is_own_doing(self, entry: Entry, reached: float | None) -> bool:
        """Whether Jobs of its own service hold GPUs or the key that it needs: others cannot make room for it then."""
        own_on_key = self._own_keys[entry.service, entry.concurrency]
        return (reached is not None and own_on_key >= reached) or (
            self._own_gpus[entry.service] + entry.gpus > self._most_gpus
        )

    def _reached(self, key: str, limit: int | None) -> float | None:
        """The limit on the key for a Job that brings `limit` along, if as many Jobs are active on it; else None."""
        active = self._keys.get(key)
        if active is None:
            return None
        most = self._key_limits[key]
        if limit is not None and limit < most:
            most = limit
        return most if active >= most else None

    def _is_reserved(self, entry: Entry) -> bool:
        """Whether something that the Job uses is reserved for a Job before it."""
        return (
            entry.concurrency in self._reserved_keys
            or entry.service in self._reserved_services
            or (entry.exclusive and entry.service in self._reserved_shared)
            or (entry.gpus > 0 and not self._reserved_gpus.isdisjoint((None, entry.service)))
        )

    def _reserve_all(self, entry: Entry) -> None:
        if entry.concurrency is not None:
            self._reserved_keys.add(entry.concurrency)
        if entry.exclusive or (entry.service != "" and self._most_in_service < math.inf):
            self._reserved_services.add(entry.service)
        # Where nothing limits the service, only a Job that must be alone in it could get in the way.
        self._reserved_shared.add(entry.service)

    def _occupy(self, entry: Entry) -> None:
        self._active += 1
        self._gpus += entry.gpus
        self._services[entry.service] += 1
        self._own_gpus[entry.service] += entry.gpus
        self._namespaces[entry.key[0]] += 1
        if entry.exclusive:
            self._alone.add(entry.service)
        key = entry.concurrency
        if key is not None:
            self._keys[key] += 1
            self._own_keys[entry.service, key] += 1
            self._key_limits[key] = min(_or_endless(entry.limit), self._key_limits.get(key, self._most_on_key))


def _or_endless(limit: int | None) -> float:
    return math.inf if limit is None else limit
