"""Jobs of requests from `make_request`, as the cluster has them, and waiting for what happens to them."""

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from events.identity import Identity, job_name
from k8s.api.cluster import Cluster
from k8s.base import Manifest, NotFound
from tests.handler.samples import SOURCE, until
from tests.processes import Installation


def name_of(request_id: str) -> str:
    return job_name("tests", Identity(SOURCE, request_id))


async def our_jobs(cluster: Cluster) -> list[Manifest]:
    return await cluster.list_jobs("default", "app.kubernetes.io/managed-by=jobrelay")


async def job_of(cluster: Cluster, request_id: str) -> Manifest:
    return await cluster.read_job("default", name_of(request_id))


async def is_suspended(cluster: Cluster, request_id: str) -> bool:
    return bool((await job_of(cluster, request_id))["spec"].get("suspend"))


async def is_finished(cluster: Cluster, request_id: str) -> bool:
    conditions = (await job_of(cluster, request_id)).get("status", {}).get("conditions", [])
    return any(condition["type"] in ("Complete", "Failed") for condition in conditions)


async def run_through(site: Installation, request: CloudEvent) -> None:
    """Publish the only request of an installation, and return once its Job is let go: its events are confirmed then."""
    async with site.broker() as broker, site.cluster() as cluster:
        await broker.publish(Topic(Kind.REQUESTS), request)

        async def is_let_go() -> bool:
            jobs = await our_jobs(cluster)
            return bool(jobs) and not any(job["metadata"].get("finalizers") for job in jobs)

        await until(is_let_go)


async def without_finalizer(cluster: Cluster, request_id: str) -> Manifest:
    """Return the Job once it has no finalizer. Raises NotFound if it is gone."""

    async def look() -> Manifest | None:
        job = await job_of(cluster, request_id)
        return None if job["metadata"].get("finalizers") else job

    return await until(look)


async def without_finalizer_or_gone(cluster: Cluster, request_id: str) -> None:
    async def look() -> bool:
        try:
            return not (await job_of(cluster, request_id))["metadata"].get("finalizers")
        except NotFound:
            return True

    await until(look)


async def gone(cluster: Cluster, request_id: str) -> None:
    async def look() -> bool:
        try:
            await job_of(cluster, request_id)
        except NotFound:
            return True
        return False

    await until(look)
