"""Which Jobs, or CronJobs, there are of a request, and who waits for one; however many others there are."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from events.jobs.observed import Ours
from k8s.base import Key

T = TypeVar("T", bound=Ours)


class ByRequest(Generic[T]):
    """Objects by the id of their request. Nearly always that is one object, and then it takes a place in a dict."""

    def __init__(self) -> None:
        self._first: dict[str, T] = {}
        self._others: dict[str, dict[str, dict[Key, T]]] = {}
        self._awaited: dict[str, set[asyncio.Event]] = {}

    def of(self, request_id: str, source: str | None = None) -> Iterator[T]:
        """Those of this id; with `source`, those of this source. In no order, one after the other as they are taken."""
        first = self._first.get(request_id)
        if first is not None and source in (None, first.source):
            yield first
        others = self._others.get(request_id)
        if others is None:
            return
        groups = others.values() if source is None else [others.get(source, {})]
        for group in groups:
            yield from group.values()

    def put(self, seen: T, before: T | None) -> None:
        """Take in an object, or its new version, and tell those who wait for it. `before`: the version known so far."""
        if before is not None:
            self.drop(before)
        if seen.request_id in self._first:
            others = self._others.setdefault(seen.request_id, {})
            others.setdefault(seen.source, {})[seen.namespace, seen.name] = seen
        else:
            self._first[seen.request_id] = seen
        for event in self._awaited.get(seen.request_id, ()):
            event.set()

    def drop(self, known: T) -> None:
        """It is gone."""
        request_id, key = known.request_id, (known.namespace, known.name)
        first = self._first.get(request_id)
        if first is not None and (first.namespace, first.name) == key:
            del self._first[request_id]
            return
        others = self._others[request_id]
        del others[known.source][key]
        if not others[known.source]:
            del others[known.source]
        if not others:
            del self._others[request_id]

    @contextmanager
    def awaited(self, request_id: str, event: asyncio.Event) -> Iterator[None]:
        """Within the block, `event` is set whenever an object of this id comes or changes."""
        events = self._awaited.setdefault(request_id, set())
        events.add(event)
        try:
            yield
        finally:
            events.discard(event)
            if not events:
                self._awaited.pop(request_id, None)
