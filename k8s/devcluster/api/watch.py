"""A watch over HTTP. It follows the history of a kind by version, so a slow reader costs no memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import orjson

from k8s.devcluster.api.selectors import Selector
from k8s.devcluster.errors import expired
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.store.history import Change, Version, event_line
from k8s.devcluster.store.store import Store

Render = Callable[[Version], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """`since` None: begin with all current objects, as ADDED. Times in seconds. `render`: tables instead of objects."""

    namespace: str | None
    selector: Selector | None
    since: int | None
    initial_end: bool
    bookmarks: bool
    bookmark_interval: float
    timeout: float
    render: Render | None


class Watch:
    def __init__(self, store: Store, kind: Resource, options: WatchOptions) -> None:
        self._store = store
        self._shelf = store.shelf(kind.plural)
        self._kind = kind
        self._options = options

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yields chunks of whole events, until the timeout or an ERROR event (410)."""
        options, loop = self._options, asyncio.get_running_loop()
        ends = loop.time() + options.timeout
        place, first = self._begin()
        if first:
            yield first
        bookmark_at = loop.time() + options.bookmark_interval
        while loop.time() < ends:
            # Taken before reading: a commit while we write then wakes us at once.
            wake = self._shelf.wake
            if place < self._shelf.history.floor:
                yield self._too_old(place)
                return
            changes = self._changes(place)
            place = max(place, self._store.announced)
            if changes:
                yield changes
                continue
            if options.bookmarks and loop.time() >= bookmark_at:
                bookmark_at = loop.time() + options.bookmark_interval
                yield self._bookmark(place)
            try:
                async with asyncio.timeout_at(min(ends, bookmark_at) if options.bookmarks else ends):
                    await wake.wait()
            except TimeoutError:
                continue

    def _begin(self) -> tuple[int, bytes]:
        options = self._options
        if options.since is not None:
            return options.since, b""
        lines = [
            self._line("ADDED", version)
            for version in self._shelf.within(options.namespace)
            if options.selector is None or options.selector(version)
        ]
        place = self._store.version
        if options.initial_end and options.bookmarks:
            lines.append(self._bookmark(place, annotations={"k8s.io/initial-events-end": "true"}))
        return place, b"".join(lines)

    def _changes(self, place: int) -> bytes:
        newest = self._store.announced
        found = (self._change(change) for change in self._shelf.history.after(place) if change.number <= newest)
        return b"".join(filter(None, found))

    def _change(self, change: Change) -> bytes:
        options = self._options
        if options.namespace is not None and change.new.key[0] != options.namespace:
            return b""
        if options.selector is None:
            return change.line if options.render is None else self._line(change.type, change.new)
        was = change.old is not None and options.selector(change.old)
        now = change.type != "DELETED" and options.selector(change.new)
        if was and now:
            return self._line("MODIFIED", change.new) if options.render else change.line
        if now:
            return self._line("ADDED", change.new)
        return self._left(change) if was else b""

    def _left(self, change: Change) -> bytes:
        """DELETED: the object is gone or does not match any more. Has its last matching state, with the new version."""
        if change.type == "DELETED" or change.old is None:
            return self._line("DELETED", change.new)
        obj = change.old.copy()
        obj["metadata"]["resourceVersion"] = str(change.number)
        gone = Version(orjson.dumps(obj), change.old.key, change.number, change.old.labels, change.old.fields)
        return self._line("DELETED", gone)

    def _line(self, kind: str, version: Version) -> bytes:
        render = self._options.render
        return event_line(kind, version.data if render is None else render(version))

    def _bookmark(self, place: int, annotations: dict[str, str] | None = None) -> bytes:
        metadata: Obj = {"resourceVersion": str(place)}
        if annotations:
            metadata["annotations"] = annotations
        body = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return event_line("BOOKMARK", orjson.dumps(body))

    def _too_old(self, place: int) -> bytes:
        error = expired(f"too old resource version: {place} ({self._shelf.history.floor})")
        return event_line("ERROR", orjson.dumps(error.status()))
