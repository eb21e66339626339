"""Plays Kueue's part on a cluster without Kueue: its controller, and what its webhooks do. After Kueue 0.19."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from k8s.api.client import STRATEGIC_MERGE, Client
from k8s.api.cluster import Cluster
from k8s.base import Conflict, Manifest, NotFound, Refused, Unavailable
from k8s.kueue import QUEUE_NAME

STOPPING = "kueue.x-k8s.io/stopping"
"""Annotation: Kueue has stopped the Job, and has yet to take back what it wrote at admission."""
EQUAL = "kueue.x-k8s.io/job-completions-equal-parallelism"
"""Annotation of Indexed Jobs: admitted for fewer pods, they get fewer completions too."""
IN_USE = "kueue.x-k8s.io/resource-in-use"
"""Finalizer of a Workload. A Job that is deleted in the foreground waits for its Workload."""
NODES = {"kubernetes.io/os": "linux"}
"""Node labels of a ResourceFlavor: nearly every node has this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`before`: the Job's spec as it was. `parallelism`: what it was admitted for."""

    before: Manifest
    parallelism: int


def in_queue(job: Manifest) -> bool:
    return bool((job["metadata"].get("labels") or {}).get(QUEUE_NAME))


class Kueue:
    """Kueue's controller in one namespace; a test decides what it admits and evicts.

    Its writes lose to ours with 409 and are repeated, as a reconciler does it. `manages_all`: Jobs outside its queues
    too (`manageJobsWithoutQueueName`).
    """

    def __init__(self, cluster: Cluster, namespace: str = "default", *, manages_all: bool = False) -> None:
        self._cluster = cluster
        self._client = cluster.client
        self._namespace = namespace
        self._manages_all = manages_all
        self._admitted: dict[str, Admission] = {}

    async def admit(self, name: str, *, pods: int | None = None, nodes: Mapping[str, str] = NODES) -> None:
        """There is room: the Job starts, on nodes with these labels. `pods`: for no more of them at once."""
        job = await self._cluster.read_job(self._namespace, name)
        parallelism = job["spec"]["parallelism"] if pods is None else pods
        self._admitted[job["metadata"]["uid"]] = Admission(before=job["spec"], parallelism=parallelism)
        queue = (job["metadata"].get("labels") or {}).get(QUEUE_NAME, "")
        labels = {"cluster-queue-name": "all", "local-queue-name": queue, "podset": "main"}
        metadata = {
            "labels": {f"kueue.x-k8s.io/{key}": value for key, value in labels.items()},
            "annotations": {"kueue.x-k8s.io/workload": _workload_of(job)},
        }
        spec: Manifest = {"suspend": False, "template": {"metadata": metadata, "spec": {"nodeSelector": dict(nodes)}}}
        if pods is not None:
            equal = (job["metadata"].get("annotations") or {}).get(EQUAL) == "true"
            spec |= {"parallelism": pods, **({"completions": pods} if equal else {})}
        await self._write(name, {"spec": spec})

    async def evict(self, name: str) -> None:
        """Other Jobs get its room. Returns once the Job can be admitted again."""
        job = await self._cluster.read_job(self._namespace, name)
        admission = self._admitted.pop(job["metadata"]["uid"])
        await self._stop(name)
        await self._restore(name, job["spec"]["template"], admission.before)

    async def run(self) -> None:
        """Make a Workload for each Job and let it go with the Job; suspend again what runs without being admitted."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("/apis/batch/v1", "jobs", self._manage))
            group.create_task(self._follow("/api/v1", "configmaps", self._release))

    async def _stop(self, name: str) -> None:
        """Kubernetes' start time goes before its Job controller has noticed anything: it looks a little later."""
        await self._write(name, {"metadata": {"annotations": {STOPPING: "true"}}, "spec": {"suspend": True}})
        await asyncio.sleep(random.uniform(0.01, 0.12))
        await self._write(name, {"status": {"startTime": None}}, subresource="/status")

    async def _restore(self, name: str, admitted: Manifest, before: Manifest) -> None:
        """Take back what the admission wrote. Until its pods are gone, Kubernetes refuses that: it is repeated."""
        metadata, given = admitted["metadata"], before["template"]["metadata"]
        nodes, own = admitted["spec"]["nodeSelector"], before["template"]["spec"].get("nodeSelector")
        template: Manifest = {
            "metadata": {field: _undone(metadata[field], given.get(field)) for field in ("labels", "annotations")},
            "spec": {"nodeSelector": _undone(nodes, own)},
        }
        counts = {field: before[field] for field in ("parallelism", "completions") if field in before}
        patch: Manifest = {"metadata": {"annotations": {STOPPING: None}}, "spec": {**counts, "template": template}}
        while True:
            try:
                return await self._write(name, patch)
            except Refused:
                await asyncio.sleep(0.05)

    async def _write(self, name: str, patch: Manifest, *, subresource: str = "") -> None:
        """Patch the Job as it is now; again if somebody else has changed it meanwhile."""
        path = f"{self._path('/apis/batch/v1', 'jobs')}/{name}"
        while True:
            job = await self._cluster.read_job(self._namespace, name)
            version = {"resourceVersion": job["metadata"]["resourceVersion"]}
            body = {**patch, "metadata": {**patch.get("metadata", {}), **version}}
            try:
                await self._client.request("PATCH", f"{path}{subresource}", body=body, content_type=STRATEGIC_MERGE)
            except Conflict:
                await asyncio.sleep(0.005)
            else:
                return

    async def _manage(self, job: Manifest) -> None:
        metadata = job["metadata"]
        if "deletionTimestamp" in metadata or not (self._manages_all or in_queue(job)):
            return
        over = any(
            one["type"] in ("Complete", "Failed") and one["status"] == "True"
            for one in job.get("status", {}).get("conditions", ())
        )
        if over:
            await self._free(_workload_of(job))
            return
        await self._make_workload(job)
        admission = self._admitted.get(metadata["uid"])
        fits = admission is not None and job["spec"]["parallelism"] == admission.parallelism
        if not job["spec"].get("suspend") and not fits:
            self._admitted.pop(metadata["uid"], None)
            await self._stop(metadata["name"])

    async def _make_workload(self, job: Manifest) -> None:
        """A ConfigMap stands for it: Kubernetes treats it in the same way."""
        metadata = job["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        workload = {
            "name": _workload_of(job),
            "finalizers": [IN_USE],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        }
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": workload}
        try:
            await self._client.request("POST", self._path("/api/v1", "configmaps"), body=body)
        except Conflict:
            return

    async def _release(self, workload: Manifest) -> None:
        metadata = workload["metadata"]
        if "deletionTimestamp" in metadata and IN_USE in metadata.get("finalizers", ()):
            await asyncio.sleep(random.uniform(0.1, 0.2))
            await self._free(metadata["name"])

    async def _free(self, workload: str) -> None:
        path = f"{self._path('/api/v1', 'configmaps')}/{workload}"
        patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [IN_USE]}}
        try:
            await self._client.request("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)
        except NotFound:
            return

    async def _follow(self, api: str, resource: str, look: Callable[[Manifest], Any]) -> None:
        """Look at each object that is there or changes, each in a task of its own: one must not hold up the others."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    async with self._client.stream(self._path(api, resource), params={"watch": "true"}) as pieces:
                        async for event in changes(pieces):
                            if event["type"] in ("ADDED", "MODIFIED"):
                                group.create_task(_reconciling(look, event["object"]))
                except Unavailable:
                    await asyncio.sleep(0.05)

    def _path(self, api: str, resource: str) -> str:
        return f"{api}/namespaces/{self._namespace}/{resource}"


@asynccontextmanager
async def playing(cluster: Cluster, namespace: str = "default", *, manages_all: bool = False) -> AsyncIterator[Kueue]:
    """A `Kueue` whose controller runs until the block ends."""
    kueue = Kueue(cluster, namespace, manages_all=manages_all)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(kueue.run())
        try:
            yield kueue
        finally:
            task.cancel()


class Webhooks:
    """A client of an API server that calls Kueue's webhooks: with every create and update of Jobs, not with deletes.

    `down`: nothing answers them, so the API server refuses. `default_queue`: there is a LocalQueue named `default`.
    """

    def __init__(self, client: Client, *, default_queue: bool = False, manages_all: bool = False) -> None:
        self._client = client
        self._default_queue = default_queue
        self._manages_all = manages_all
        self.down = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def request(self, method: str, path: str, *, body: Any = None, **options: Any) -> bytes:
        resource, _, rest = path.partition("/jobs")[2].partition("/")
        concerned = "/jobs" in path and not resource and not rest.endswith("/status")
        if concerned and method in ("POST", "PUT", "PATCH") and self.down:
            raise Unavailable('500 Internal error occurred: failed calling webhook "vjob.kb.io": connection refused')
        if concerned and method == "POST":
            body = self._defaulted(body)
        return await self._client.request(method, path, body=body, **options)

    def _defaulted(self, job: Manifest) -> Manifest:
        metadata, labels = job["metadata"], dict(job["metadata"].get("labels") or {})
        if self._default_queue and not in_queue(job):
            labels[QUEUE_NAME] = "default"
        made = {**job, "metadata": {**metadata, "labels": labels}}
        managed = self._manages_all or in_queue(made)
        return {**made, "spec": {**made["spec"], "suspend": True}} if managed else made


def _workload_of(job: Manifest) -> str:
    return f"job-{job['metadata']['name']}-{job['metadata']['uid'][:5]}"


def _undone(admitted: Mapping[str, str], before: Mapping[str, str] | None) -> dict[str, str | None] | None:
    """A patch that takes a map back to what it was."""
    return None if before is None else {name: before.get(name) for name in {**admitted, **before}}


async def _reconciling(look: Callable[[Manifest], Any], seen: Manifest) -> None:
    """A reconciler that fails is called again with the object's next change."""
    try:
        await look(seen)
    except (NotFound, Unavailable):
        return


async def changes(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The events of a watch."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield orjson.loads(line)
