"""All objects of the development cluster, in memory and written through to SQLite. Knows no HTTP."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson

from k8s.devcluster.errors import (
    ApiError,
    already_exists,
    conflict,
    forbidden,
    not_found,
    success,
)
from k8s.devcluster.resources import RESOURCES, Obj, Resource
from k8s.devcluster.rules import pod_admission, podlimits
from k8s.devcluster.store import admission, deletion
from k8s.devcluster.store.database import Database, Row
from k8s.devcluster.store.history import Change, History, Key, Version
from k8s.devcluster.store.quota import changed_use, check_quota, recounted
from k8s.devcluster.store.shelf import Shelf
from k8s.devcluster.store.subscription import Subscription

FIRST_VERSION = 100  # Above 1, so that "version 1" is always too old, which it is in any cluster that has been used.
SIZE_LIMIT = 1536 * 1024  # Bytes of an object: etcd's limit.
DEFAULT_NAMESPACES = ("default", "kube-system")


class Store:
    """Synchronous, for a single event loop.

    `get` and `list` see a change at once. In the next turn of the loop it is on disk, and watches and subscriptions see
    it: `await committed()`.
    """

    def __init__(self, directory: Path, *, history: int = 20_000, history_age: float = 300.0) -> None:
        """`history`: changes kept of each kind. `history_age`: seconds that they are kept. OSError: it is in use."""
        directory.mkdir(parents=True, exist_ok=True)
        self._database = Database(directory / "state.sqlite")
        self._number = int(self._database.value("version") or FIRST_VERSION)
        self._announced = self._number
        self._dirty: dict[Row, bytes | None] = {}
        self._unannounced: list[tuple[Shelf, Change]] = []
        self._flushed: asyncio.Future[None] | None = None
        self._subscriptions: dict[str, set[Subscription]] = {name: set() for name in RESOURCES}
        self._shelves = {
            name: Shelf(resource, History(floor=self._number, limit=history, max_age=history_age))
            for name, resource in RESOURCES.items()
        }
        for name, namespace, key, data in self._database.load():
            if name in self._shelves:
                self._shelves[name].restore((namespace, key), data)
        self._quotas = self._shelves["resourcequotas"]
        self._bootstrap()

    # Reading

    @property
    def version(self) -> int:
        """The resourceVersion of the last change."""
        return self._number

    @property
    def announced(self) -> int:
        """The last version on disk: watches show nothing newer."""
        return self._announced

    def shelf(self, resource: str) -> Shelf:
        return self._shelves[resource]

    def get(self, resource: str, namespace: str, name: str) -> Obj:
        """READ-ONLY. ApiError 404."""
        return self.current(resource, namespace, name).obj

    def current(self, resource: str, namespace: str, name: str) -> Version:
        shelf = self._shelves[resource]
        version = shelf.versions.get((namespace, name))
        if version is None:
            raise not_found(shelf.resource, name)
        return version

    def list(self, resource: str, namespace: str | None = None) -> list[Obj]:
        """READ-ONLY objects in order of (namespace, name). None: of all namespaces."""
        return [version.obj for version in self._shelves[resource].within(namespace)]

    # Writing

    def create(self, resource: str, obj: Obj, *, dry_run: bool = False) -> Obj:
        """Copy `obj`, fill in defaults, validate and store it. Returns the stored object, READ-ONLY.

        ApiError 403 (quota, terminating namespace), 404 (no such namespace), 409, 422, 500 (too large).
        """
        return self.create_version(resource, obj, dry_run=dry_run).obj

    def create_version(self, resource: str, obj: Obj, *, dry_run: bool = False) -> Version:
        shelf = self._shelves[resource]
        kind = shelf.resource
        obj = _copy(obj)
        self._check_namespace(kind, obj)
        generated = not obj["metadata"].get("name") and obj["metadata"].get("generateName")
        admission.prepare_create(kind, obj)
        key = _key(obj)
        while generated and key in shelf.versions:
            obj["metadata"]["name"] = admission.generated_name(generated)
            key = _key(obj)
        ranges = self.list("limitranges", key[0])
        if kind.kind == "Pod":
            podlimits.complete(obj, ranges)
            pod_admission.complete(obj, lambda plural, name: self._look_up(plural, key[0], name))
        admission.validate_create(kind, obj)
        podlimits.enforce(kind.plural, obj, ranges)
        if kind.kind == "Pod":
            pod_admission.enforce(obj, self.get("namespaces", "", key[0]))
        check_quota(kind, obj, self.list("resourcequotas", key[0]) if kind.namespaced else [])
        if key in shelf.versions:
            raise already_exists(kind, key[1])
        if dry_run:
            return shelf.version(obj, self._number, key, numbered=False)
        version = self._write(shelf, key, obj, None)
        if kind.kind == "Namespace":
            self.create("serviceaccounts", {"metadata": {"name": pod_admission.DEFAULT_ACCOUNT, "namespace": key[1]}})
        return version

    def update(
        self,
        resource: str,
        obj: Obj,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Obj:
        """Replace an object. If `obj` has a metadata.resourceVersion or uid, it must be current (ApiError 409).

        `subresource` "status" changes only the status; otherwise everything else changes. Without a change there is no
        new version. A deleted object is removed with its last finalizer (a namespace: spec.finalizers as well).
        """
        return self.update_version(resource, obj, subresource=subresource, dry_run=dry_run).obj

    def update_version(
        self,
        resource: str,
        obj: Obj,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        note: Callable[[Obj, Obj], None] | None = None,
    ) -> Version:
        """As `update`. `note` may write into the metadata of the new object, if it differs from the old one."""
        shelf = self._shelves[resource]
        kind = shelf.resource
        key = (obj["metadata"].get("namespace", ""), obj["metadata"].get("name", ""))
        old = self.current(resource, *key)
        self._check_precondition(kind, old, obj["metadata"])
        new = admission.prepare_update(kind, _copy(obj), old.obj, subresource=subresource)
        new["metadata"]["resourceVersion"] = str(old.number)
        if new == old.obj:
            return old
        admission.validate_update(kind, new, old.obj, subresource=subresource)
        if note is not None:
            note(new, old.obj)
        if dry_run:
            return shelf.version(new, old.number, key)
        if deletion.is_over(new):
            self._remove(shelf, old)
            return shelf.version(new, old.number, key)
        return self._write(shelf, key, new, old)

    def mutate(
        self,
        resource: str,
        namespace: str,
        name: str,
        change: Callable[[Obj], None],
        *,
        subresource: str | None = None,
    ) -> Obj | None:
        """Apply `change` to a copy of the current object, and `update` it. None: there is no such object."""
        version = self._shelves[resource].versions.get((namespace, name))
        if version is None:
            return None
        obj = version.copy()
        change(obj)
        return self.update(resource, obj, subresource=subresource)

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        propagation: str | None = None,
        grace: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> Obj:
        """Start or finish a deletion. Returns the API's answer: the object if it stays for now, else a Status.

        `propagation`: Background, Foreground or Orphan; None: the kind's default. Pods stay for their grace period, or
        until `grace=0`. ApiError 404; 409 if `uid` or `resource_version` is that of another object.
        """
        shelf = self._shelves[resource]
        kind = shelf.resource
        old = self.current(resource, namespace, name)
        deletion.check_preconditions(kind, old.obj, uid=uid, resource_version=resource_version)
        new = deletion.marked(kind, old.copy(), propagation=propagation, grace=grace)
        if dry_run:
            return old.obj
        last = old
        if kind.graceful and new != old.obj:
            # A pod's end makes two events: its grace period is over, and it is gone.
            last = self._write(shelf, old.key, new, old)
        if deletion.is_over(new):
            self._remove(shelf, last)
            return last.obj if kind.returns_deleted else success(kind, name, old.obj["metadata"]["uid"])
        return last.obj if last is not old or new == old.obj else self._write(shelf, old.key, new, old).obj

    # Watching

    def subscribe(self, *resources: str) -> Subscription:
        """All changes of these kinds from now on, until the `async with` ends.

        After a `list()` in the same turn of the loop, nothing is missed.
        """

        def leave(subscription: Subscription) -> None:
            for name in resources:
                self._subscriptions[name].discard(subscription)

        subscription = Subscription(self._number, leave)
        for name in resources:
            self._subscriptions[name].add(subscription)
        return subscription

    async def committed(self) -> None:
        """Return once all changes so far are on disk. OSError or sqlite3.Error: they could not be written."""
        if self._flushed is not None:
            await asyncio.shield(self._flushed)

    def close(self) -> None:
        self._flush()
        self._database.close()

    # Inside

    def _bootstrap(self) -> None:
        for name in DEFAULT_NAMESPACES:
            if ("", name) not in self._shelves["namespaces"].versions:
                self.create("namespaces", {"metadata": {"name": name}})
        for quota in [*self._quotas.within(None)]:
            self._recount(quota)
        self._flush()
        for shelf in self._shelves.values():
            shelf.history.floor = self._number

    def _look_up(self, resource: str, namespace: str, name: str) -> Obj | None:
        shelf = self._shelves[resource]
        found = shelf.versions.get((namespace if shelf.resource.namespaced else "", name))
        return None if found is None else found.obj

    def _check_namespace(self, kind: Resource, obj: Obj) -> None:
        metadata = obj.setdefault("metadata", {})
        if not kind.namespaced:
            metadata.pop("namespace", None)
            return
        name = metadata.setdefault("namespace", "default")
        namespace = self.get("namespaces", "", name)
        if "deletionTimestamp" in namespace["metadata"]:
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
            why = f"unable to create new content in namespace {name} because it is being terminated"
            raise forbidden(kind, metadata.get("name", ""), why, causes=[cause])

    def _check_precondition(self, kind: Resource, old: Version, metadata: Obj) -> None:
        asked = metadata.get("resourceVersion")
        if asked and asked != str(old.number):
            raise conflict(kind, old.key[1])
        uid = metadata.get("uid")
        if uid and uid != old.obj["metadata"]["uid"]:
            raise conflict(kind, old.key[1], deletion.uid_mismatch(uid, old.obj))

    def _write(self, shelf: Shelf, key: Key, obj: Obj, old: Version | None) -> Version:
        version = self._put(shelf, key, obj, old)
        if shelf is self._quotas:
            self._recount(version)
        self._count(shelf.resource, key[0], old=old, new=version)
        return version

    def _count(self, kind: Resource, namespace: str, *, old: Version | None, new: Version | None) -> None:
        """Keep what the quotas of the namespace say to be in use true."""
        for quota in [*self._quotas.within(namespace)]:
            # Copies: history keeps bytes only.
            before, after = (None if version is None else version.copy() for version in (old, new))
            used = changed_use(quota.obj, kind, old=before, new=after)
            if used is not None:
                obj = quota.copy()
                obj["status"] = {"hard": obj["status"]["hard"], "used": used}
                self._put(self._quotas, quota.key, obj, quota)

    def _recount(self, quota: Version) -> None:
        namespace = quota.key[0]
        status = recounted(quota.obj, lambda plural: self.list(plural, namespace))
        if quota.obj.get("status") != status:
            self._put(self._quotas, quota.key, quota.copy() | {"status": status}, quota)

    def _put(self, shelf: Shelf, key: Key, obj: Obj, old: Version | None) -> Version:
        version = shelf.version(obj, self._number + 1, key)
        if len(version.data) > SIZE_LIMIT:
            raise ApiError(500, "", "etcdserver: request is too large")
        self._number += 1
        shelf.put(version)
        kind = "ADDED" if old is None else "MODIFIED"
        self._record(shelf, Change(self._number, kind, version, old), version.data)
        return version

    def _remove(self, shelf: Shelf, old: Version) -> Version:
        """The event has the last stored state, finalizers included, with the version of the deletion."""
        self._number += 1
        version = shelf.version(old.copy(), self._number, old.key)
        shelf.remove(old.key)
        self._record(shelf, Change(self._number, "DELETED", version, old), None)
        self._count(shelf.resource, old.key[0], old=old, new=None)
        return version

    def _record(self, shelf: Shelf, change: Change, data: bytes | None) -> None:
        if change.old is not None:
            change.old.parsed = None  # History keeps bytes only.
        shelf.history.append(change)
        self._dirty[(shelf.resource.plural, *change.new.key)] = data
        self._unannounced.append((shelf, change))
        if self._flushed is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._flush()
            else:
                # A single commit for everything in this turn of the loop.
                self._flushed = loop.create_future()
                loop.call_soon(self._flush)

    def _flush(self) -> None:
        waiting, self._flushed = self._flushed, None
        try:
            if self._dirty:
                self._database.write(self._dirty.items(), version=self._number)
        except Exception as error:
            if waiting is None:
                raise
            waiting.set_exception(error)
            waiting.exception()  # Retrieved, because nobody may be waiting for it.
            return
        self._dirty.clear()
        self._announced = self._number
        announced, self._unannounced = self._unannounced, []
        for shelf, change in announced:
            for subscription in self._subscriptions[shelf.resource.plural]:
                subscription.push(shelf.resource.plural, change)
        for shelf in {id(shelf): shelf for shelf, _ in announced}.values():
            woken, shelf.wake = shelf.wake, asyncio.Event()
            woken.set()
        if waiting is not None:
            waiting.set_result(None)


def _copy(obj: Obj) -> Obj:
    copied: Obj = orjson.loads(orjson.dumps(obj))
    return copied


def _key(obj: Obj) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"].get("name", "")
