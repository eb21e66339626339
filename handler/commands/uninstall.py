"""`jobrelay uninstall`: lets go of all in the cluster that would wait for jobrelay. Deletes no Jobs and no streams."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import click

from adapters.registry import ADAPTERS
from events.names import FINALIZER
from handler.commands.errors import FAILED, OK, Failed
from handler.settings.connections import adapter_of, cluster_of, namespaces_of, selector_of
from handler.settings.settings import Settings
from k8s.api.client import STRATEGIC_MERGE, segment
from k8s.api.cluster import Cluster
from k8s.base import Manifest, NotFound
from k8s.reading.job import is_newer

LET_GO: Manifest = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
"""Takes our finalizer away and leaves everybody else's."""
JOBS, CRON_JOBS = "jobs", "cronjobs"


async def uninstall(settings: Settings, *, confirmed: bool) -> int:
    """Remove our finalizer from the Jobs and CronJobs of the installation, and its Lease.

    Raises `Failed` when not confirmed.
    """
    async with cluster_of(settings) as cluster:
        namespaces = namespaces_of(settings, cluster)
        found = [one for namespace in namespaces for one in await _held(cluster, settings, namespace)]
        held = [one for one in found if not one.newer]
        newer = [one for one in found if one.newer]
        what = f"{_counted(held)} of instance {settings.instance} in {', '.join(namespaces)}"
        if not confirmed and not click.confirm(f"Let go of {what}? What becomes of them is not reported", err=True):
            raise Failed("nothing was changed")
        for namespace in namespaces:
            done = [one for one in held if one.namespace == namespace and await _let_go(cluster, one)]
            click.echo(f"{namespace}: finalizer {FINALIZER} removed from {_counted(done)}")
        leader = namespaces[0]
        gone = await _delete_lease(cluster, leader, settings.instance)
        click.echo(f"{leader}: Lease {settings.instance} {'deleted' if gone else 'was not there'}")
    click.echo(_rest(settings.instance, {adapter_of(url).name for url in settings.sources}))
    if any(one.resource == CRON_JOBS for one in held):
        click.echo(_schedules(settings, namespaces))
    if newer:
        # They may hold on to more than we know of.
        what = f"{_counted(newer)} are left as they are, a newer jobrelay wrote them: run its uninstall"
        click.echo("\n".join([what, *(f"  {one.namespace}/{one.name}" for one in newer)]), err=True)
    return FAILED if newer else OK


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """One that carries our finalizer. `resource` as in a path."""

    resource: str
    namespace: str
    name: str
    newer: bool


async def _held(cluster: Cluster, settings: Settings, namespace: str) -> list[_Held]:
    selector = selector_of(settings)
    listed = {
        JOBS: await cluster.list_jobs(namespace, selector),
        CRON_JOBS: await cluster.list_cron_jobs(namespace, selector),
    }
    return [
        _Held(resource=resource, namespace=namespace, name=str(one["metadata"]["name"]), newer=is_newer(one))
        for resource, found in listed.items()
        for one in found
        if FINALIZER in one["metadata"].get("finalizers", ())
    ]


def _counted(found: Sequence[_Held]) -> str:
    cron_jobs = sum(one.resource == CRON_JOBS for one in found)
    jobs = f"{len(found) - cron_jobs} Jobs"
    return f"{jobs} and {cron_jobs} CronJobs" if cron_jobs else jobs


async def _let_go(cluster: Cluster, one: _Held) -> bool:
    path = f"/apis/batch/v1/namespaces/{segment(one.namespace)}/{one.resource}/{segment(one.name)}"
    try:
        # Not patch_job: what it answers must be a Job of ours, and this one may be anything.
        await cluster.client.request("PATCH", path, body=LET_GO, content_type=STRATEGIC_MERGE)
    except NotFound:
        return False
    return True


async def _delete_lease(cluster: Cluster, namespace: str, name: str) -> bool:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{segment(namespace)}/leases/{segment(name)}"
    try:
        await cluster.client.request("DELETE", path)
    except NotFound:
        return False
    return True


def _schedules(settings: Settings, namespaces: Sequence[str]) -> str:
    lines = [
        "CronJobs stay as well: Kubernetes goes on making Jobs for them, suspended ones that nobody lets run.",
        "To delete them with their Jobs:",
    ]
    lines += [f"  kubectl delete cronjobs -n {namespace} -l {selector_of(settings)}" for namespace in namespaces]
    return "\n".join(lines)


def _rest(instance: str, brokers: Collection[str]) -> str:
    lines = [
        "Stop jobrelay if it still runs: it would take hold of its Jobs again.",
        "Jobs stay as they are, and so does what the broker has. To delete that with all it holds:",
    ]
    for adapter in ADAPTERS:
        if adapter.name in brokers:
            lines += [f"  {line}" for line in adapter.removal(instance)]
    return "\n".join(lines)
