"""A cluster that answers lists of Jobs as a test lets it, for the parts that look Jobs up."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from events.identity import request_label
from events.jobs.observed import Job
from handler.effects.services import Services
from handler.settings.settings import Settings
from k8s.base import KubernetesError
from tests.handler.parts import make_services


class Lists:
    """Stands for `Cluster`. `asked`: the labels of each list; `jobs`: what there is; `errors`: raised first."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = list(jobs)
        self.asked: list[list[str]] = []
        self.errors: list[Exception] = []
        self.free = asyncio.Event()
        self.free.set()

    async def find_jobs(self, namespaces: Sequence[str], selector: str) -> list[Job]:
        labels = selector.partition(" in (")[2].rstrip(")").split(",")
        self.asked.append(labels)
        await self.free.wait()
        if self.errors:
            raise self.errors.pop(0)
        return [job for job in self.jobs if request_label(job.request_id) in labels and job.namespace in namespaces]

    def server_time(self) -> float:
        return time.time()


def services_with(lists: Lists, **settings: Any) -> Services:
    """Services whose cluster is this."""
    cluster: Any = lists
    return make_services(cluster, Settings.model_validate(settings).model_copy(update={"namespaces": ("jobs",)}))


def make_job(request_id: str, *, source: str = "/s", **fields: Any) -> Job:
    defaults: dict[str, Any] = {"namespace": "jobs", "name": request_id, "uid": request_id, "version": 1}
    return Job(**defaults | {"created": 0.0, "request_id": request_id, "source": source} | fields)


def failing(error: KubernetesError, lists: Lists) -> Lists:
    """The next list fails with this."""
    lists.errors.append(error)
    return lists
