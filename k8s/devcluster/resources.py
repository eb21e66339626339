"""A table of the kinds that this server knows. A new kind is a new row; behaviour is elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def _no_fields(_obj: Obj) -> dict[str, str]:
    return {}


def _pod_fields(pod: Obj) -> dict[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.restartPolicy": spec.get("restartPolicy", ""),
        "spec.schedulerName": spec.get("schedulerName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.phase": status.get("phase", ""),
        "status.podIP": status.get("podIP", ""),
        "status.nominatedNodeName": status.get("nominatedNodeName", ""),
    }


def _job_fields(job: Obj) -> dict[str, str]:
    return {"status.successful": str((job.get("status") or {}).get("succeeded", 0))}


def _event_fields(event: Obj) -> dict[str, str]:
    about = event.get("involvedObject") or {}
    names = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    fields = {f"involvedObject.{name}": about.get(name, "") for name in names}
    source = (event.get("source") or {}).get("component", "")
    reporting = event.get("reportingComponent", "")
    return fields | {
        "reason": event.get("reason", ""),
        "reportingComponent": reporting,
        "source": source or reporting,
        "type": event.get("type", ""),
    }


def _namespace_fields(namespace: Obj) -> dict[str, str]:
    return {"status.phase": (namespace.get("status") or {}).get("phase", "")}


def _node_fields(node: Obj) -> dict[str, str]:
    return {"spec.unschedulable": str(bool((node.get("spec") or {}).get("unschedulable"))).lower()}


def _secret_fields(secret: Obj) -> dict[str, str]:
    return {"type": secret.get("type", "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind. `model`: its class in kubernetes_asyncio. `fields`: returns its selectable fields.

    `returns_deleted`: DELETE answers with the object, not a Status. `graceful`: it has a grace period.
    """

    plural: str
    singular: str
    kind: str
    group: str
    model: str
    version: str = "v1"
    namespaced: bool = True
    generation: bool = False
    subresources: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    fields: Callable[[Obj], dict[str, str]] = _no_fields
    verbs: tuple[str, ...] = VERBS
    returns_deleted: bool = False
    graceful: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name in messages: `jobs.batch`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> bytes:
        """What all stored objects of this kind start with. List items are sent without it."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()


RESOURCES: dict[str, Resource] = {
    resource.plural: resource
    for resource in (
        Resource(
            plural="configmaps", singular="configmap", kind="ConfigMap", group="", model="V1ConfigMap",
            short_names=("cm",),
        ),
        Resource(
            plural="events", singular="event", kind="Event", group="", model="CoreV1Event",
            short_names=("ev",), fields=_event_fields,
        ),
        Resource(
            plural="limitranges", singular="limitrange", kind="LimitRange", group="", model="V1LimitRange",
            short_names=("limits",),
        ),
        Resource(
            plural="namespaces", singular="namespace", kind="Namespace", group="",
            model="V1Namespace", namespaced=False, subresources=("status", "finalize"),
            short_names=("ns",), fields=_namespace_fields,
        ),
        Resource(
            plural="nodes", singular="node", kind="Node", group="", model="V1Node", namespaced=False,
            subresources=("status",), short_names=("no",), fields=_node_fields, returns_deleted=True,
        ),
        Resource(
            plural="persistentvolumeclaims", singular="persistentvolumeclaim",
            kind="PersistentVolumeClaim", group="", model="V1PersistentVolumeClaim",
            subresources=("status",), short_names=("pvc",), returns_deleted=True,
        ),
        Resource(
            plural="pods", singular="pod", kind="Pod", group="", model="V1Pod", generation=True,
            subresources=("status", "log", "eviction"), short_names=("po",), categories=("all",),
            fields=_pod_fields, returns_deleted=True, graceful=True,
        ),
        Resource(
            plural="resourcequotas", singular="resourcequota", kind="ResourceQuota", group="",
            model="V1ResourceQuota", subresources=("status",), short_names=("quota",),
            returns_deleted=True,
        ),
        Resource(
            plural="secrets", singular="secret", kind="Secret", group="", model="V1Secret",
            fields=_secret_fields,
        ),
        Resource(
            plural="serviceaccounts", singular="serviceaccount", kind="ServiceAccount", group="",
            model="V1ServiceAccount", short_names=("sa",), returns_deleted=True,
        ),
        Resource(
            plural="jobs", singular="job", kind="Job", group="batch", model="V1Job", generation=True,
            subresources=("status",), categories=("all",), fields=_job_fields,
        ),
        Resource(
            plural="cronjobs", singular="cronjob", kind="CronJob", group="batch", model="V1CronJob", generation=True,
            subresources=("status",), short_names=("cj",), categories=("all",),
        ),
        Resource(
            plural="leases", singular="lease", kind="Lease", group="coordination.k8s.io",
            model="V1Lease",
        ),
        Resource(
            plural="priorityclasses", singular="priorityclass", kind="PriorityClass", group="scheduling.k8s.io",
            model="V1PriorityClass", namespaced=False, short_names=("pc",),
        ),
    )
}  # fmt: skip

POD_METRICS = Resource(
    plural="pods",
    singular="",
    kind="PodMetrics",
    group="metrics.k8s.io",
    version="v1beta1",
    model="",
    verbs=("get", "list"),
)
"""Not stored, and served only where usage can be measured."""
