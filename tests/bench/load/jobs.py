"""What the measurements ask of an API server about Jobs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

import orjson

from events.names import FINALIZER, Annotation, Label
from handler.effects.repeating import until_answered
from k8s.api.client import STRATEGIC_MERGE
from k8s.base import Manifest, NotFound, Refused
from k8s.manifests.job import Rendered, secret_for
from tests.bench.apiserver import complete
from tests.bench.load.clients import Client, Own
from tests.bench.load.events import IN_FLIGHT, many
from tests.e2e.site import Site

REMOVE_SECONDS = 600.0
RELEASED_AT = "2026-01-01T00:00:00Z"
RELEASE: Manifest = {
    "metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]},
    "spec": {"ttlSecondsAfterFinished": 3600},
}
ADMIT: Manifest = {
    "metadata": {"annotations": {Annotation.QUEUED: None, Annotation.RELEASED: RELEASED_AT}},
    "spec": {"suspend": False},
}
UNSUSPEND: Manifest = {
    "metadata": {"annotations": {Annotation.PAYLOAD: None, Annotation.RELEASED: RELEASED_AT}},
    "spec": {"suspend": False},
}


class Jobs:
    """The Jobs of a site. `client` writes what is measured; without one, and for all else, it is jobrelay's own."""

    def __init__(self, site: Site, client: Client | None = None) -> None:
        self._site = site
        self._client = client or Own(site.cluster.client)
        self._path = f"/apis/batch/v1/namespaces/{site.namespace}/jobs"
        self._core = f"/api/v1/namespaces/{site.namespace}"

    async def post(self, job: Manifest) -> bytes:
        return await self._client.write("POST", self._path, job)

    async def launch(self, made: Rendered) -> None:
        """Create the Job, and its Secret if it has one, with the requests that jobrelay needs for it."""
        answer = await self.post(made.job)
        if made.inline:
            return
        uid = orjson.loads(answer)["metadata"]["uid"]
        existing = {**made.job, "metadata": {**made.job["metadata"], "uid": uid}}
        await self._client.write("POST", f"{self._core}/secrets", secret_for(made, existing))
        await self._patch(made.job, UNSUSPEND)

    async def release(self, job: Manifest) -> None:
        await self._patch(job, RELEASE)

    async def admit(self, job: Manifest) -> None:
        await self._patch(job, ADMIT)

    async def _patch(self, job: Manifest, patch: Manifest) -> None:
        path = f"{self._path}/{job['metadata']['name']}"
        await self._client.write("PATCH", path, patch, content_type=STRATEGIC_MERGE)

    def watched(self, instance: str) -> AbstractAsyncContextManager[None]:
        """Until the block ends, read a watch on the Jobs of this installation and discard what it brings."""
        return self._client.watching(self._path, f"{Label.INSTANCE}={instance}")

    async def complete(self, name: str) -> None:
        """Set the status of a Job that has just completed, with the `startTime` it may have: that is immutable.

        A Job controller may set that in between: then it is refused, and tried once more. Raises `Refused`.
        """
        try:
            await self._complete(name)
        except Refused:
            await self._complete(name)

    async def _complete(self, name: str) -> None:
        status = complete()
        status["startTime"] = (await self._status(name)).get("startTime", status["startTime"])
        path = f"{self._path}/{name}/status"
        await self._client.write("PATCH", path, {"status": status}, content_type=STRATEGIC_MERGE)

    async def completed(self, name: str) -> bool:
        return any(condition["type"] == "Complete" for condition in (await self._status(name)).get("conditions", ()))

    async def _status(self, name: str) -> Manifest:
        job = orjson.loads(await self._site.cluster.client.request("GET", f"{self._path}/{name}"))
        return dict(job.get("status", {}))

    async def remove(self, instance: str, jobs: Iterable[Manifest]) -> None:
        """Delete these Jobs, with or without our finalizer, their Secrets and their pods."""

        async def drop_finalizer(job: Manifest) -> None:
            with suppress(NotFound):
                await Jobs(self._site).release(job)

        await many(drop_finalizer, jobs, in_flight=IN_FLIGHT)
        async with asyncio.timeout(REMOVE_SECONDS):
            # Our own API server has nobody who collects what they own.
            for path in (self._path, f"{self._core}/secrets"):
                await self._delete_all(path, instance, {"propagationPolicy": "Background"})
            pods = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
            await self._delete_all(f"{self._core}/pods", instance, pods)

    async def clear(self, instance: str) -> None:
        """Delete whatever Jobs this installation has."""
        left = await self._site.cluster.job_metadata(self._site.namespace, f"{Label.INSTANCE}={instance}")
        await self.remove(instance, ({"metadata": metadata} for metadata in left))

    async def _delete_all(self, path: str, instance: str, options: Manifest) -> None:
        selector = {"labelSelector": f"{Label.INSTANCE}={instance}"}
        send = partial(self._site.cluster.client.request, "DELETE", path, params=selector, body=options, timeout=120)
        # A real API server ends a request after some time: what it has not deleted by then is left to the next.
        await until_answered(send)


@asynccontextmanager
async def no_pods(site: Site) -> AsyncIterator[None]:
    """Forbid pods by a quota, so that the nodes' work is not measured. Our own API server makes no pods anyway."""
    if site.own_cluster:
        yield
        return
    path = f"/api/v1/namespaces/{site.namespace}/resourcequotas"
    name = f"{site.namespace[:40]}-no-pods"
    quota = {"metadata": {"name": name}, "spec": {"hard": {"pods": "0"}}}
    await site.cluster.client.request("POST", path, body={"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    try:
        yield
    finally:
        await site.cluster.client.request("DELETE", f"{path}/{name}")
