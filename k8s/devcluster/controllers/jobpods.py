"""The pods of a Job: what a new pod looks like, and how old pods are let go."""

from typing import Any

from k8s.devcluster.controllers.tally import INDEX, TRACKING, is_tracked
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
LONGEST_PREFIX = 58  # Of a generated name, in Kubernetes: with five random characters it is still a host name.


def new_pod(job: Obj, *, index: int | None, annotations: Obj | None = None) -> Obj:
    """A new pod. `index`: in an Indexed Job. `annotations`: besides those of the template."""
    template, owner = job["spec"]["template"], job["metadata"]
    given = template.get("metadata") or {}
    metadata: Obj = {
        "generateName": _prefix(owner["name"], "-" if index is None else f"-{index}-"),
        "namespace": owner["namespace"],
        "labels": dict(given.get("labels") or {}),
        "annotations": {**(given.get("annotations") or {}), **(annotations or {})},
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
        "finalizers": [*(given.get("finalizers") or []), TRACKING],
    }
    spec = dict(template["spec"])
    if index is not None:
        metadata["labels"][INDEX] = metadata["annotations"][INDEX] = str(index)
        spec.setdefault("hostname", f"{owner['name']}-{index}"[:63].rstrip("-."))
        for place in ("initContainers", "containers"):
            if place in spec:
                spec[place] = [_with_index(container) for container in spec[place]]
    return {"metadata": metadata, "spec": spec}


def _prefix(name: str, end: str) -> str:
    """Prefix of a pod's name. A long name of the Job is cut, so that the index stays readable."""
    return name[: LONGEST_PREFIX - len(end)] + end


def _with_index(container: Obj) -> Obj:
    env: list[dict[str, Any]] = container.get("env") or []
    if any(variable["name"] == INDEX_VARIABLE for variable in env):
        return container
    path = f"metadata.labels['{INDEX}']"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    return container | {"env": [*env, {"name": INDEX_VARIABLE, "valueFrom": source}]}


def release(store: Store, pod: Obj) -> None:
    """Remove the tracking finalizer. The pod stays, unless it is deleted and only that kept it."""
    if not is_tracked(pod):
        return
    metadata = pod["metadata"]

    def change(current: Obj) -> None:
        if current["metadata"]["uid"] == metadata["uid"]:
            kept = [name for name in current["metadata"].get("finalizers") or [] if name != TRACKING]
            current["metadata"]["finalizers"] = kept

    store.mutate("pods", metadata["namespace"], metadata["name"], change)


def delete(store: Store, pod: Obj) -> None:
    metadata = pod["metadata"]
    try:
        store.delete(
            "pods",
            metadata["namespace"],
            metadata["name"],
            propagation="Background",
            uid=metadata["uid"],
        )
    except ApiError as error:
        if error.code not in (404, 409):  # It is gone, or another pod has its name.
            raise
