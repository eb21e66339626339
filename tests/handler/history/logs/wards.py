"""Pods on nodes that do what a test says, and logs kept of them: for what no development cluster can be made to do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from events.names import Annotation, Label
from handler.history.base import Bodies, KeptLog, LogState, PodRun
from handler.history.logs.podlogs import PodLogs
from handler.history.logs.watching import Part, Pods, Seen
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import Manifest, NotFound
from tests.handler.history.logs.shelves import Shelves
from tests.handler.samples import until

Says = Callable[[str, dict[str, Any]], AsyncIterator[bytes]]
ENDED = Part("main", ran=True, running=False, ended=True)
RUNNING = Part("main", ran=True, running=True, ended=False)


def job_manifest(name: str, **metadata: Any) -> Manifest:
    notes = {Annotation.ID: name, Annotation.SOURCE: "/tests", Annotation.CONTEXT: '{"id":"e1"}'}
    fixed = {"name": name, "namespace": "default", "uid": f"job-{name}", "labels": {Label.INSTANCE: "jobrelay"}}
    return {"metadata": fixed | {"annotations": notes} | metadata, "spec": {}}


def make_seen(name: str, *, node: str = "node-1", namespace: str = "default", over: bool = True, **fields: Any) -> Seen:
    """A pod of a request of its own."""
    ends: dict[str, Any] = {"finished": 2.0, "exit_code": 0} if over else {}
    run = PodRun(uid=name, name=name, namespace=namespace, node=node, started=1.0, **ends)
    fixed: dict[str, Any] = {"job": name, "job_uid": f"job-{name}", "id": name, "source": "/tests"}
    return Seen(run=run, over=over, **(fixed | {"parts": (ENDED if over else RUNNING,)} | fields))


async def hello(pod: str, _: dict[str, Any]) -> AsyncIterator[bytes]:
    yield f"hello from {pod}\n".encode()


class Ward:
    """What a test puts into `pods` is there, and its log is what `says` answers, given the name and the parameters.

    `asked`: whose log was asked for, in order; `jobs`: those that have other Jobs than `job_manifest`.
    """

    def __init__(self) -> None:
        self.shelves = Shelves()
        self.metrics = Metrics()
        self.bodies: Bodies | None = None
        self.says: Says = hello
        self.asked: list[str] = []
        self.jobs: dict[str, Manifest | None] = {}
        self.pods = Pods()
        self.client = None
        self.default_namespace = "default"

    @asynccontextmanager
    async def keeping(self, *there: Seen, **settings: Any) -> AsyncIterator[None]:
        """Keep logs within the block. `there`: pods that exist before."""
        async with beside(self.keep(*there, **settings)):
            yield

    async def keep(self, *there: Seen, **settings: Any) -> None:
        """Keep logs until the writer is lost."""

        async def follow(pods: Pods, *_: Any, **__: Any) -> None:
            self.pods = pods
            for seen in there:
                pods.put(seen)
            await asyncio.Event().wait()

        reader, chosen = self.shelves.reader, Settings(role="console", **settings)
        logs = PodLogs(cast("Cluster", self), chosen, self.metrics, reader, self.bodies)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Pods, "run", follow)
            await logs.run(self.shelves.writer)

    async def read_job(self, _: str, name: str) -> Manifest:
        found = self.jobs.get(name, job_manifest(name))
        if found is None:
            raise NotFound("404 there is no such Job")
        return found

    async def pod_log(self, _: str, pod: str, **given: Any) -> AsyncIterator[bytes]:
        self.asked.append(pod)
        async for piece in self.says(pod, given):
            yield piece

    async def kept(self, *pods: str, state: LogState | None = None) -> list[KeptLog]:
        """The logs of these pods, once they are done, or in this state."""

        async def look() -> list[KeptLog] | None:
            found = [self.shelves.headers.get((pod, "main")) for pod in pods]
            there = [log for log in found if log is not None and _is(log, state)]
            return there if len(there) == len(pods) else None

        return await until(look)

    async def noted(self, pod: str) -> bool:
        return pod in self.shelves.pods

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"jobrelay_{name}", labels) or 0.0


def _is(log: KeptLog, state: LogState | None) -> bool:
    return log.state is state if state else log.state is not LogState.GROWING
