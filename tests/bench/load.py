"""Tools of the measurements: events, the Jobs made of them, bare requests, a process's CPU and memory."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from events.cloudevent.event import decode_structured
from events.names import FINALIZER, Annotation, Label
from events.request.request import Request
from handler.effects.repeating import until_answered
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import METADATA_ONLY
from k8s.background import beside
from k8s.base import Manifest, NotFound
from k8s.manifests.job import render
from k8s.manifests.options import ManifestOptions
from tests.bench.apiserver import complete
from tests.e2e.observer import request
from tests.e2e.site import Relay, Site

Fields = Mapping[str, Any]

IN_FLIGHT = 64
IDLE = "idle"
REMOVE_SECONDS = 600.0
STRICT = {"fieldManager": "jobrelay", "fieldValidation": "Strict"}
RELEASE: Manifest = {
    "metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]},
    "spec": {"ttlSecondsAfterFinished": 3600},
}
ADMIT: Manifest = {
    "metadata": {"annotations": {Annotation.QUEUED: None, Annotation.RELEASED: "2026-01-01T00:00:00Z"}},
    "spec": {"suspend": False},
}


def make_events(
    count: int, *, command: str, image: str, name: str = "bench", fields: Callable[[int], Fields] = lambda _: {}
) -> list[bytes]:
    """Structured events of about 1 kB, each a request `<name>-<number>`. `fields`: more of its data, by its number."""
    wanted = {"command": [command], "env": [{"name": "TEXT", "value": "x" * 400}]}
    usual: Fields = {"image": image, "job": wanted, "metadata": {"customer": "c" * 100, "order": 4711}}
    made = (request(f"{name}-{number}", **{**usual, **fields(number)}) for number in range(count))
    return [json.dumps(event).encode() for event in made]


def rendered(events: Iterable[bytes], *, instance: str, site: Site, governed: bool = False) -> list[Manifest]:
    """The Jobs that jobrelay makes from these events. `governed`: they wait for admission."""
    options = ManifestOptions(
        instance=instance, namespace=site.namespace, broker=site.broker, governs=lambda *_: governed
    )
    return [render(Request.of(decode_structured(body)), options=options).job for body in events]


async def many(work: Callable[[Any], Awaitable[Any]], items: Iterable[Any], *, in_flight: int) -> None:
    """Call `work` with each item, `in_flight` at a time."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())


class Bare:
    """Requests to the API server that use nothing of jobrelay but its client's connection pool and credentials."""

    def __init__(self, site: Site) -> None:
        self._client = site.cluster.client
        self._jobs = f"/apis/batch/v1/namespaces/{site.namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{site.namespace}/pods"

    async def post(self, job: Manifest) -> None:
        await self._client.request("POST", self._jobs, params=STRICT, body=job, accept=METADATA_ONLY)

    async def release(self, job: Manifest) -> None:
        await self._patch(f"{self._jobs}/{job['metadata']['name']}", RELEASE)

    async def admit(self, job: Manifest) -> None:
        await self._patch(f"{self._jobs}/{job['metadata']['name']}", ADMIT)

    async def complete(self, name: str) -> None:
        """Set the status of a Job that has just completed, with the `startTime` it may have: that is immutable."""
        status = complete()
        status["startTime"] = (await self._status(name)).get("startTime", status["startTime"])
        await self._patch(f"{self._jobs}/{name}/status", {"status": status})

    @asynccontextmanager
    async def watched(self, instance: str) -> AsyncIterator[None]:
        """Until the block ends, read a watch on the Jobs of this installation and discard what it brings."""
        params = {"labelSelector": f"{Label.INSTANCE}={instance}", "watch": "1"}

        async def read() -> None:
            async with self._client.stream(self._jobs, params=params) as pieces:
                async for _ in pieces:
                    pass

        async with beside(read()):
            yield

    async def completed(self, name: str) -> bool:
        return any(condition["type"] == "Complete" for condition in (await self._status(name)).get("conditions", ()))

    async def remove(self, instance: str, names: Sequence[str], *, in_flight: int = IN_FLIGHT) -> None:
        """Delete these Jobs, with or without our finalizer, and their pods."""

        async def drop_finalizer(name: str) -> None:
            with suppress(NotFound):
                await self._patch(f"{self._jobs}/{name}", RELEASE)

        await many(drop_finalizer, names, in_flight=in_flight)
        async with asyncio.timeout(REMOVE_SECONDS):
            await self._delete_all(self._jobs, instance, {"propagationPolicy": "Background"})
            await self._delete_all(self._pods, instance, {"propagationPolicy": "Background", "gracePeriodSeconds": 0})

    async def _delete_all(self, path: str, instance: str, options: Manifest) -> None:
        selector = {"labelSelector": f"{Label.INSTANCE}={instance}"}
        # A real API server ends a request after some time: what it has not deleted by then is left to the next.
        await until_answered(lambda: self._client.request("DELETE", path, params=selector, body=options, timeout=120))

    async def _status(self, name: str) -> Manifest:
        job = orjson.loads(await self._client.request("GET", f"{self._jobs}/{name}"))
        return dict(job.get("status", {}))

    async def _patch(self, path: str, patch: Manifest) -> None:
        await self._client.request("PATCH", path, params=STRICT, body=patch, content_type=STRATEGIC_MERGE)


@asynccontextmanager
async def paused(relay: Relay) -> AsyncIterator[None]:
    """Stop the process during the block, so that a queue can fill up before it continues and the clock starts."""
    os.kill(relay.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(relay.process.pid, signal.SIGCONT)


def cpu_seconds(pid: int) -> float:
    """User plus system time of the process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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
