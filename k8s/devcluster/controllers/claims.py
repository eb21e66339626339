"""PersistentVolumeClaims: each is bound at once, and kept while a pod uses it.

A claim is a directory, and is deleted with it. There are no volumes, classes or sizes.
"""

import asyncio
import logging
import shutil
from pathlib import Path

from k8s.devcluster.controllers.owners import Ref, controller_of, current
from k8s.devcluster.controllers.tally import is_terminal
from k8s.devcluster.controllers.workqueue import WorkQueue
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.defaults import PROTECTION
from k8s.devcluster.store.store import Store

logger = logging.getLogger(__name__)

CLAIMS = "persistentvolumeclaims"


def claim_names(pod: Obj) -> list[str]:
    """The names of all claims among the pod's volumes, ephemeral volumes included."""
    return [name for volume in pod["spec"].get("volumes") or [] if (name := claim_name(pod, volume)) is not None]


def claim_name(pod: Obj, volume: Obj) -> str | None:
    if volume.get("persistentVolumeClaim") is not None:
        return str(volume["persistentVolumeClaim"]["claimName"])
    if volume.get("ephemeral") is not None:
        return f"{pod['metadata']['name']}-{volume['name']}"
    return None


def claim_directory(claims: Path, claim: Obj) -> Path:
    """A claim that is created again under its old name starts empty."""
    return claims / str(claim["metadata"]["namespace"]) / f"{claim['metadata']['name']}.{claim['metadata']['uid']}"


def missing(store: Store, pod: Obj) -> str:
    """The scheduler's message if the pod cannot be placed because of its claims; else empty."""
    namespace = pod["metadata"]["namespace"]
    for name in claim_names(pod):
        claim = current(store, (CLAIMS, namespace, name))
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if "deletionTimestamp" in claim["metadata"]:
            return f'persistentvolumeclaim "{name}" is being deleted'
    for volume in pod["spec"].get("volumes") or []:
        claim = current(store, (CLAIMS, namespace, claim_name(pod, volume) or ""))
        if volume.get("ephemeral") is not None and claim is not None:
            owner = controller_of(claim)
            if owner is None or owner["uid"] != pod["metadata"]["uid"]:
                where = f"{namespace}/{claim['metadata']['name']}"
                return f"PVC {where} was not created for pod {namespace}/{pod['metadata']['name']} (pod is not owner)"
    return ""


def make_ephemeral(store: Store, pod: Obj) -> None:
    """Create the claims of the pod's ephemeral volumes. They are deleted with the pod."""
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    for volume in pod["spec"].get("volumes") or []:
        name = claim_name(pod, volume)
        if volume.get("ephemeral") is None or current(store, (CLAIMS, metadata["namespace"], str(name))):
            continue
        template = volume["ephemeral"].get("volumeClaimTemplate") or {}
        given = template.get("metadata") or {}
        made = {
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "labels": given.get("labels") or {},
                "annotations": given.get("annotations") or {},
                "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": template.get("spec") or {},
        }
        try:
            store.create(CLAIMS, made)
        except ApiError as error:
            logger.info("no claim %s for pod %s: %s", name, metadata["name"], error.message)


class Claims:
    """`observe` notes which claims have changed; `run` reconciles them."""

    def __init__(self, store: Store, directory: Path) -> None:
        """`directory`: where the claims' directories are."""
        self._store = store
        self._directory = directory
        self._queue: WorkQueue[Ref] = WorkQueue()

    def observe(self, resource: str, obj: Obj, *, gone: bool = False) -> None:
        metadata = obj["metadata"]
        if resource == CLAIMS and gone:
            self._queue.add(("directory", metadata["namespace"], claim_directory(self._directory, obj).name))
        elif resource == CLAIMS:
            self._queue.add((CLAIMS, metadata["namespace"], metadata["name"]))
        elif resource == "pods" and (gone or is_terminal(obj)):
            for name in claim_names(obj):
                self._queue.add((CLAIMS, metadata["namespace"], name))

    async def run(self) -> None:
        while True:
            ref = await self._queue.get()
            try:
                if ref[0] == "directory":
                    await asyncio.to_thread(shutil.rmtree, self._directory / ref[1] / ref[2], ignore_errors=True)
                else:
                    self._reconcile(ref)
            except Exception:  # A bad claim must not stop the others.
                logger.exception("cannot process %s %s/%s", *ref)
                self._queue.retry(ref)
            else:
                self._queue.forget(ref)
            await asyncio.sleep(0)

    def _reconcile(self, ref: Ref) -> None:
        claim = current(self._store, ref)
        if claim is None:
            return
        if "deletionTimestamp" not in claim["metadata"]:
            self._store.mutate(*ref, _name_volume)
            self._store.mutate(*ref, _bind, subresource="status")
        elif not self._used(ref):
            self._store.mutate(*ref, _let_go)

    def _used(self, ref: Ref) -> bool:
        pods = self._store.list("pods", ref[1])
        return any(ref[2] in claim_names(pod) for pod in pods if pod["spec"].get("nodeName") and not is_terminal(pod))


def _name_volume(claim: Obj) -> None:
    claim["spec"].setdefault("volumeName", f"pvc-{claim['metadata']['uid']}")


def _bind(claim: Obj) -> None:
    spec, status = claim["spec"], claim.setdefault("status", {})
    wanted = (spec.get("resources") or {}).get("requests") or {}
    status |= {"phase": "Bound", "accessModes": spec.get("accessModes") or [], "capacity": dict(wanted)}


def _let_go(claim: Obj) -> None:
    kept = [name for name in claim["metadata"].get("finalizers") or [] if name != PROTECTION]
    claim["metadata"]["finalizers"] = kept
