"""The pods of a Job: what a new one looks like, and letting go of old ones."""

from typing import Any

from k8s.devcluster.controllers.tally import INDEX, TRACKING, is_tracked
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
LONGEST_PREFIX = 58  # of a generated name, as in Kubernetes: with its five characters it is a host name


def new_pod(job: Obj, *, index: int | None, annotations: Obj | None = None) -> Obj:
    """`index`: of an Indexed Job's pod; `annotations`: besides the template's."""
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
    """The index stays readable in the name of a pod whose Job has a long one."""
    return name[: LONGEST_PREFIX - len(end)] + end


def _with_index(container: Obj) -> Obj:
    env: list[dict[str, Any]] = container.get("env") or []
    if any(variable["name"] == INDEX_VARIABLE for variable in env):
        return container
    path = f"metadata.labels['{INDEX}']"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    return container | {"env": [*env, {"name": INDEX_VARIABLE, "valueFrom": source}]}


def release(store: Store, pod: Obj) -> None:
    """Take the tracking finalizer off; the pod itself stays, unless it was only kept by that."""
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
        if error.code not in (404, 409):  # gone, or another pod of that name
            raise
