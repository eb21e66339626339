"""Plays Kueue's part on a cluster without Kueue: the writes that admit a Job and evict it."""

from typing import Any

from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.base import Manifest


async def admit(cluster: Cluster, namespace: str, name: str) -> None:
    """There is room: the Job starts."""
    await cluster.patch_job(namespace, name, {"spec": {"suspend": False}})


async def evict(cluster: Cluster, namespace: str, name: str) -> None:
    """Other Jobs get its room: the Job stops, and counts as never started."""
    stopping: dict[str, Any] = {"metadata": {"annotations": {"kueue.x-k8s.io/stopping": "true"}}}
    await cluster.patch_job(namespace, name, stopping | {"spec": {"suspend": True}})
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status"
    await cluster.client.request("PATCH", path, body={"status": {"startTime": None}}, content_type=STRATEGIC_MERGE)
    stopped: Manifest = {"metadata": {"annotations": {"kueue.x-k8s.io/stopping": None}}}
    await cluster.patch_job(namespace, name, stopped)
