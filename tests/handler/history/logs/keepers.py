"""Keeps the logs of a development cluster's pods, for tests."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from events.identity import request_label
from events.names import MANAGED_BY, Annotation, Label
from handler.history.base import Bodies, KeptLog, LogState, PodRun, Reader, Request, Writer
from handler.history.logs.podlogs import PodLogs
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import Manifest
from tests.handler.samples import SOURCE, until


@asynccontextmanager
async def keeping(
    cluster: Cluster, reader: Reader, writer: Writer, bodies: Bodies | None = None, **settings: Any
) -> AsyncIterator[Metrics]:
    """Logs are kept within the block."""
    metrics = Metrics()
    logs = PodLogs(cluster, Settings(role="console", **settings), metrics, reader, bodies)
    async with beside(logs.run(writer)):
        yield metrics


async def recorded(reader: Reader, request_id: str) -> Request:
    """The row of this request, once there is one."""

    async def look() -> Request | None:
        found = await reader.find(request_id)
        return found[0] if found else None

    return await until(look)


async def pods_of(reader: Reader, request_id: str, *, count: int = 1) -> list[PodRun]:
    """The pods of this request, once that many have ended."""
    request = await recorded(reader, request_id)

    async def look() -> list[PodRun] | None:
        found = [pod for pod in await reader.pods(request.pk) if pod.finished is not None]
        return found if len(found) >= count else None

    return await until(look)


async def log_of(reader: Reader, pod: str, container: str = "main", *, growing: bool = False) -> KeptLog:
    """The log of this container, once it is done; `growing`: once there is something of it."""

    async def look() -> KeptLog | None:
        found = [log for log in await reader.logs(pod) if log.container == container]
        there = [log for log in found if (log.bytes if growing else log.state is not LogState.GROWING)]
        return there[0] if there else None

    return await until(look)


def job_of(name: str, *containers: Manifest, init: Sequence[Manifest] = (), **spec: Any) -> Manifest:
    """A Job of a request of this id with these containers, as far as we need to know it."""
    labels = {Label.MANAGED_BY: MANAGED_BY, Label.INSTANCE: "jobrelay", Label.REQUEST: request_label(name)}
    named = {Annotation.ID: name, Annotation.SOURCE: SOURCE}
    marks = {Annotation.JOB: f"default/{name}", **named}
    pod = {"restartPolicy": "Never", "containers": [*containers], "initContainers": [*init]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels,
            "annotations": {**named, Annotation.CONTEXT: f'{{"id":"event-{name}"}}'},
        },
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels, "annotations": marks}, "spec": pod}}
        | spec,
    }


def container(script: str, name: str = "main", **fields: Any) -> Manifest:
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script], **fields}
