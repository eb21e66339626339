"""What a client and the cluster show of schedules and their runs. A minute of CronJobs takes two seconds here."""

from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind
from events.cloudevent.event import decode_structured
from events.identity import request_label
from events.lifecycle.schedules import Runs, read_runs
from events.names import Annotation, Label
from events.phases import TERMINAL
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.devcluster.loops import Options
from tests.handler.relay import Client, phase_of
from tests.handler.samples import make_request, until

EACH_MINUTE = "* * * * *"
FAST = Options(backoff=0.5, cron_minute=2.0)
"""Scheduled times come from a clock that runs ahead."""


def make_schedule(request_id: str = "s", *, cron: str = EACH_MINUTE, **data: Any) -> CloudEvent:
    return make_request(request_id, schedule=cron, **data)


async def cron_jobs(cluster: Cluster) -> list[Manifest]:
    return await cluster.list_cron_jobs("default", f"{Label.MANAGED_BY}=jobrelay")


async def jobs(cluster: Cluster, schedule: str = "s") -> list[Manifest]:
    """All Jobs created for this schedule, adopted or not, in the order of their times."""
    return await cluster.list_jobs("default", f"{Label.SCHEDULE}={request_label(schedule)}")


async def lifecycle_events(client: Client) -> list[CloudEvent]:
    async with client.broker.history(Kind.LIFECYCLE) as records:
        return [decode_structured(record.body) async for record in records]


async def runs(client: Client, schedule: str = "s") -> dict[str, list[str]]:
    """The phases of each run, by its scheduled time; repeated events are dropped."""
    found: dict[str, dict[str, str]] = {}
    for event in await lifecycle_events(client):
        name, _, time = (event.get_subject() or "").partition("@")
        if name == schedule and time:
            found.setdefault(time, {})[event.get_id()] = phase_of(event)
    return {time: list(phases.values()) for time, phases in found.items()}


async def started(client: Client, schedule: str = "s") -> str:
    """The scheduled time of the only run that has started, once it has."""

    async def look() -> list[str] | None:
        return [time for time, phases in (await runs(client, schedule)).items() if "started" in phases]

    (time,) = await until(look)
    return time


async def ended(client: Client, count: int, schedule: str = "s") -> list[str]:
    """The scheduled times of the runs that have ended, once there are `count`."""

    async def look() -> list[str] | None:
        over = [time for time, phases in (await runs(client, schedule)).items() if phases[-1] in TERMINAL]
        return over if len(over) >= count else None

    return await until(look)


def stored_runs(cron_job: Manifest) -> Runs:
    return read_runs(cron_job["metadata"]["annotations"].get(Annotation.RUNS))


async def gone(cluster: Cluster) -> bool:
    return await cron_jobs(cluster) == []


async def minutes_pass(cluster: Cluster) -> None:
    """Return once each CronJob that is due every minute has been due, and another minute has passed."""
    container = {"name": "main", "image": "busybox:1", "command": ["true"]}
    pods = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    template = {"metadata": {"labels": {"app": "clock"}}, "spec": {"template": pods}}
    clock = {"metadata": {"name": "clock"}, "spec": {"schedule": EACH_MINUTE, "jobTemplate": template}}
    await cluster.client.request("POST", "/apis/batch/v1/namespaces/default/cronjobs", body=clock)

    async def look() -> bool:
        # The first Job may be for a time before this CronJob was created.
        return len(await cluster.list_jobs("default", "app=clock")) == 3

    await until(look)
