"""The objects of a kind, with their recent past. Knows no rules: it keeps what it is given."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import merge

import orjson

from k8s.devcluster.errors import expired
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.store.history import History, Key, Version


class Shelf:
    """Objects by key, and the keys in order. Each committed change sets `wake`, after replacing it by a new Event."""

    def __init__(self, resource: Resource, history: History) -> None:
        self.resource = resource
        self.history = history
        self.versions: dict[Key, Version] = {}
        self.keys: list[Key] = []
        self.wake = asyncio.Event()

    def put(self, version: Version) -> None:
        if version.key not in self.versions:
            insort(self.keys, version.key)
        self.versions[version.key] = version

    def remove(self, key: Key) -> None:
        del self.versions[key]
        del self.keys[bisect_left(self.keys, key)]

    def within(self, namespace: str | None) -> Iterator[Version]:
        """Objects in order of (namespace, name). The shelf must not change meanwhile."""
        if namespace is None:
            return (self.versions[key] for key in self.keys)
        low = bisect_left(self.keys, (namespace, ""))
        high = bisect_left(self.keys, (namespace + "\0", ""))
        return (self.versions[key] for key in self.keys[low:high])

    def snapshot(self, namespace: str | None, *, at: int, after: Key = ("", "")) -> Iterator[Version]:
        """The objects at version `at`, in order, after the key `after`. ApiError 410: too long ago."""
        if at < self.history.floor:
            raise expired(f"too old resource version: {at} ({self.history.floor})")
        since: dict[Key, Version | None] = {}
        for change in self.history.after(at):
            since.setdefault(change.new.key, change.old)
        # Merged lazily: a reader of one page of 100,000 objects takes only the first of them.
        gone = sorted(since.keys() - self.versions.keys())
        for key in merge(self.keys[bisect_left(self.keys, after) :], gone):
            if key <= after or (namespace is not None and key[0] != namespace):
                continue
            version = since[key] if key in since else self.versions.get(key)
            if version is not None:
                yield version

    def restore(self, key: Key, data: bytes) -> None:
        """Add an object that was read from disk."""
        obj = orjson.loads(data)
        number = int(obj["metadata"]["resourceVersion"])
        labels = obj["metadata"].get("labels") or {}
        self.put(Version(data=data, key=key, number=number, labels=labels, fields=self.resource.fields(obj)))

    def version(self, obj: Obj, number: int, key: Key, *, numbered: bool = True) -> Version:
        """Serialize `obj`, with kind and apiVersion first."""
        kind = self.resource
        body: Obj = {"kind": kind.kind, "apiVersion": kind.api_version}
        body.update(obj)
        body["kind"], body["apiVersion"] = kind.kind, kind.api_version
        if numbered:
            body["metadata"]["resourceVersion"] = str(number)
        return Version(
            data=orjson.dumps(body),
            key=key,
            number=number,
            labels=body["metadata"].get("labels") or {},
            fields=kind.fields(body),
            parsed=body,
        )
