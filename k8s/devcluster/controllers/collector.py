"""Deletes what is left over: dependents of a deleted owner, Jobs past their TTL, the content of a namespace."""

import asyncio
import logging
import time

from k8s.devcluster.conditions import finish_time
from k8s.devcluster.controllers.owners import KINDS, OWNED, Owners, Ref, current, owner_refs
from k8s.devcluster.controllers.workqueue import WorkQueue
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import RESOURCES, Obj
from k8s.devcluster.store.deletion import FOREGROUND, ORPHAN
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import parse_time

logger = logging.getLogger(__name__)

OBSERVED = (*OWNED, "namespaces", "events", "nodes")
FOREGROUND_DELAY = 0.01  # The Job controller lets go of its pods first.
NAMESPACE_POLL = 0.2
EVENTS_LIVE = 3600.0  # Seconds: Kubernetes' default.


class Collector:
    """`observe` notes which objects have changed; `run` reconciles them as they are then."""

    def __init__(self, store: Store, owners: Owners) -> None:
        self._store = store
        self._owners = owners
        self._queue: WorkQueue[Ref] = WorkQueue()

    def observe(self, resource: str, obj: Obj, *, gone: bool = False) -> None:
        metadata = obj["metadata"]
        ref = (resource, metadata.get("namespace", ""), metadata["name"])
        if gone:
            for other, dependent in self._owners.dependents(metadata["uid"]):
                named = dependent["metadata"]
                self._queue.add((other, named["namespace"], named["name"]))
                self._wake_owners(dependent)
            self._wake_owners(obj)
        elif resource == "events":
            age = time.time() - parse_time(metadata["creationTimestamp"])
            self._queue.add(ref, delay=max(0.0, EVENTS_LIVE - age))
        elif "deletionTimestamp" in metadata:
            self._queue.add(ref, delay=FOREGROUND_DELAY)
        elif owner_refs(obj) or finish_time(obj):
            self._queue.add(ref)

    async def run(self) -> None:
        while True:
            ref = await self._queue.get()
            try:
                self._reconcile(ref)
            except Exception:  # A bad object must not stop the others.
                logger.exception("cannot collect %s %s/%s", *ref)
                self._queue.retry(ref)
            else:
                self._queue.forget(ref)
            await asyncio.sleep(0)

    def _wake_owners(self, dependent: Obj) -> None:
        """The owner may have waited for this dependent."""
        namespace = dependent["metadata"].get("namespace", "")
        for owner in owner_refs(dependent):
            if owner["kind"] in KINDS:
                self._queue.add((KINDS[owner["kind"]], namespace, owner["name"]))

    def _reconcile(self, ref: Ref) -> None:
        obj = current(self._store, ref)
        if obj is None:
            return
        if ref[0] == "events":
            self._expire_event(ref, obj)
        elif ref[0] == "namespaces":
            self._empty_namespace(ref)
        elif "deletionTimestamp" in obj["metadata"]:
            self._finish_deletion(ref, obj)
        elif not self._collect(ref, obj) and ref[0] == "jobs":
            self._expire_job(ref, obj)

    # Owners

    def _collect(self, ref: Ref, obj: Obj) -> bool:
        """Delete an object if all its owners are gone. Returns whether it did."""
        owners = owner_refs(obj)
        gone = [owner for owner in owners if owner["kind"] in KINDS and not self._owners.lives(owner["uid"])]
        if not gone:
            return False
        if len(gone) == len(owners):
            self._delete(ref, "Background")
            return True
        kept = [owner for owner in owners if owner not in gone]
        self._store.mutate(*ref, lambda current: current["metadata"].update(ownerReferences=kept))
        return False

    def _finish_deletion(self, ref: Ref, obj: Obj) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        if ORPHAN in finalizers:
            self._orphan_dependents(obj)
            self._drop_finalizer(ref, ORPHAN)
        elif FOREGROUND in finalizers and not self._delete_dependents(obj):
            self._drop_finalizer(ref, FOREGROUND)

    def _orphan_dependents(self, obj: Obj) -> None:
        uid = obj["metadata"]["uid"]

        def strip(dependent: Obj) -> None:
            kept = [owner for owner in owner_refs(dependent) if owner["uid"] != uid]
            dependent["metadata"]["ownerReferences"] = kept

        for resource, dependent in self._owners.dependents(uid):
            metadata = dependent["metadata"]
            self._store.mutate(resource, metadata["namespace"], metadata["name"], strip)

    def _delete_dependents(self, obj: Obj) -> bool:
        """Returns whether there are dependents left that the owner has to wait for."""
        uid = obj["metadata"]["uid"]
        for resource, dependent in self._owners.dependents(uid):
            metadata = dependent["metadata"]
            if "deletionTimestamp" not in metadata:
                # The owner waits for the dependents of its dependents too.
                policy = "Foreground" if self._owners.dependents(metadata["uid"]) else "Background"
                self._delete((resource, metadata["namespace"], metadata["name"]), policy)
        return any(
            owner["uid"] == uid and owner.get("blockOwnerDeletion")
            for _, dependent in self._owners.dependents(uid)
            for owner in owner_refs(dependent)
        )

    def _drop_finalizer(self, ref: Ref, name: str) -> None:
        def change(obj: Obj) -> None:
            kept = [other for other in obj["metadata"].get("finalizers") or [] if other != name]
            obj["metadata"]["finalizers"] = kept

        self._store.mutate(*ref, change)

    def _delete(self, ref: Ref, propagation: str) -> None:
        try:
            self._store.delete(*ref, propagation=propagation)
        except ApiError as error:
            if error.code != 404:
                raise

    # Time

    def _expire_job(self, ref: Ref, job: Obj) -> None:
        ttl, finished = job["spec"].get("ttlSecondsAfterFinished"), finish_time(job)
        if ttl is None or finished is None:
            return
        remaining = parse_time(finished) + ttl - time.time()
        if remaining > 0:
            self._queue.add(ref, delay=remaining)
        else:
            self._delete(ref, "Foreground")

    def _expire_event(self, ref: Ref, event: Obj) -> None:
        if time.time() - parse_time(event["metadata"]["creationTimestamp"]) >= EVENTS_LIVE:
            self._delete(ref, "Background")

    # Namespaces

    def _empty_namespace(self, ref: Ref) -> None:
        """Delete everything in a namespace that is being deleted, then let the namespace go."""
        left = False
        for resource, kind in RESOURCES.items():
            if not kind.namespaced:
                continue
            for obj in self._store.list(resource, ref[2]):
                left = True
                if "deletionTimestamp" not in obj["metadata"]:
                    self._delete((resource, ref[2], obj["metadata"]["name"]), "Background")
        if left:
            self._queue.add(ref, delay=NAMESPACE_POLL)
            return
        self._store.mutate(*ref, lambda namespace: namespace["spec"].update(finalizers=[]), subresource="finalize")
