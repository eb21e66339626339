"""A scene: Jobs in a queue of Kueue, whose part is played here. Not for a cluster that has Kueue itself."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from k8s.kueue import QUEUE_NAME
from tests import kueue as double
from tests.e2e.cases import FOREVER
from tests.e2e.observer import Observer, request
from tests.e2e.site import Site, until
from tests.patience import PATIENCE

GROUP = "kueue.x-k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kueue:
    """`queue`: the name of the queue in the Job's label."""

    observer: Observer
    queue: str


async def kueue(site: Site) -> Kueue | str:
    """A Job is evicted and runs again; another is cancelled while it runs. Returns the reason where that cannot be."""
    groups = orjson.loads(await site.cluster.client.request("GET", "/apis"))["groups"]
    if any(group["name"] == GROUP for group in groups):
        return "Kueue itself is there: it would undo what this scene does"
    instance, patience = site.new_instance(), PATIENCE * site.patience
    async with (
        site.observer(instance) as observer,
        site.relays(instance, "controller", "handler", kueue_queue="e2e"),
    ):
        playing = double.Kueue(site.cluster, site.namespace)
        moved = await _started(
            site, playing, observer, request("moved", f"sleep {5 * site.patience:g}", image=site.image)
        )
        await playing.evict(moved)
        await observer.reached("moved", "suspended", seconds=patience)
        await playing.admit(moved)
        job = await site.cluster.read_job(site.namespace, moved)
        dropped = await _started(site, playing, observer, request("dropped", FOREVER, image=site.image))
        await observer.command("cancel", "dropped")
        for request_id in ("dropped", "moved"):
            await observer.ended(request_id, seconds=patience)
        await until(partial(_gone, site, dropped), seconds=patience)
    return Kueue(observer=observer, queue=job["metadata"]["labels"][QUEUE_NAME])


async def _started(site: Site, playing: double.Kueue, observer: Observer, event: dict[str, Any]) -> str:
    """Publish a request, and let its Job start once it waits for Kueue. Returns the name of the Job."""
    request_id, patience = event["data"]["id"], PATIENCE * site.patience
    await observer.publish(event)
    queued = await observer.reached(request_id, "queued", seconds=patience)
    name = str(queued.get_source()).rpartition("/")[2]
    await playing.admit(name)
    await observer.reached(request_id, "started", seconds=patience)
    return name


async def _gone(site: Site, name: str) -> bool:
    return all(job["metadata"]["name"] != name for job in await site.cluster.list_jobs(site.namespace, QUEUE_NAME))
