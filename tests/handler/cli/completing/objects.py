"""Jobs and CronJobs with the metadata of ours."""

from typing import Any

from events.identity import base32_sha256, request_label
from events.names import DEFAULT_INSTANCE, FINALIZER, MANAGED_BY, Annotation, Label
from k8s.api.cluster import Cluster


async def create_request(
    cluster: Cluster,
    request_id: str,
    *,
    source: str = "/tests",
    service: str = "tests",
    instance: str = DEFAULT_INSTANCE,
    namespace: str = "default",
    ended: bool = False,
    suspend: bool = True,
) -> None:
    """`ended`: its end has been told. `suspend`: no pod of it runs."""
    made = _object(request_id, source, service, instance, namespace, ended)
    meta = made["metadata"]
    notes = {**meta["annotations"], Annotation.JOB: f"{namespace}/{meta['name']}"}
    template = {"metadata": {"labels": meta["labels"], "annotations": notes}, **_JOB["spec"]["template"]}
    await cluster.create_job({**_JOB, **made, "spec": {"suspend": suspend, "template": template}})


async def create_schedule(cluster: Cluster, request_id: str, *, source: str = "/tests") -> None:
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": _JOB["spec"]}}
    made = _object(request_id, source, "tests", DEFAULT_INSTANCE, "default", False)
    await cluster.create_cron_job({**made, "apiVersion": "batch/v1", "kind": "CronJob", "spec": spec})


def _object(request_id: str, source: str, service: str, instance: str, namespace: str, ended: bool) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{service}-{base32_sha256(f'{source} {request_id}'.encode())[:12]}",
            "namespace": namespace,
            "finalizers": [] if ended else [FINALIZER],
            "labels": {
                Label.MANAGED_BY: MANAGED_BY,
                Label.INSTANCE: instance,
                Label.REQUEST: request_label(request_id),
                Label.NAME: service,
            },
            "annotations": {Annotation.ID: request_id, Annotation.SOURCE: source},
        }
    }


_JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {
        "suspend": True,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "busybox", "command": ["true"]}],
            }
        },
    },
}
