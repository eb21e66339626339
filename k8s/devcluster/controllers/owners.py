"""Which objects have which owner, by uid. Saves the controllers a search of all objects."""

from collections.abc import Iterable

from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store

OWNED = ("cronjobs", "jobs", "pods", "secrets", "configmaps", "persistentvolumeclaims")
KINDS = {
    "CronJob": "cronjobs",
    "Job": "jobs",
    "Pod": "pods",
    "Secret": "secrets",
    "ConfigMap": "configmaps",
    "PersistentVolumeClaim": "persistentvolumeclaims",
}

Ref = tuple[str, str, str]
"""(plural, namespace, name)"""


class Owners:
    """Keeps keys only: objects are read from the store. `apply` is called for changes, and by creators of objects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dependents: dict[str, set[Ref]] = {}
        self._named: dict[Ref, tuple[str, ...]] = {}  # The owners under which a key is filed.
        self._living: dict[str, Ref] = {}
        for resource in OWNED:
            for obj in store.list(resource):
                self.apply(resource, obj)

    def apply(self, resource: str, obj: Obj, *, gone: bool = False) -> None:
        metadata = obj["metadata"]
        ref = (resource, metadata.get("namespace", ""), metadata["name"])
        owners = () if gone else tuple(owner["uid"] for owner in owner_refs(obj))
        if gone:
            self._living.pop(metadata["uid"], None)
        else:
            self._living[metadata["uid"]] = ref
        if owners != self._named.get(ref, ()):
            self._file(ref, owners)

    def lives(self, uid: str) -> bool:
        """Whether an object with this uid exists. It may be about to be deleted."""
        return uid in self._living

    def dependents(self, uid: str) -> list[tuple[str, Obj]]:
        """(plural, object) of everything that has this owner, ordered by name."""
        found = []
        for ref in sorted(self._dependents.get(uid, ())):
            obj = current(self._store, ref)
            if obj is not None and any(owner["uid"] == uid for owner in owner_refs(obj)):
                found.append((ref[0], obj))
        return found

    def pods(self, uid: str) -> list[Obj]:
        """The pods that the owner controls."""
        return self._controlled("pods", uid)

    def jobs(self, uid: str) -> list[Obj]:
        """The Jobs that the owner controls."""
        return self._controlled("jobs", uid)

    def _controlled(self, resource: str, uid: str) -> list[Obj]:
        return [
            obj
            for found, obj in self.dependents(uid)
            if found == resource and (controller_of(obj) or {}).get("uid") == uid
        ]

    def _file(self, ref: Ref, owners: Iterable[str]) -> None:
        for uid in self._named.pop(ref, ()):
            refs = self._dependents.get(uid, set())
            refs.discard(ref)
            if not refs:
                self._dependents.pop(uid, None)
        for uid in owners:
            self._dependents.setdefault(uid, set()).add(ref)
        if owners:
            self._named[ref] = tuple(owners)


def current(store: Store, ref: Ref) -> Obj | None:
    """The current object, READ-ONLY. None: there is none."""
    version = store.shelf(ref[0]).versions.get((ref[1], ref[2]))
    return None if version is None else version.obj


def owner_refs(obj: Obj) -> list[Obj]:
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Obj) -> Obj | None:
    return next((owner for owner in owner_refs(obj) if owner.get("controller")), None)
