"""`jobrelay uninstall`: removes whatever in the cluster would wait for jobrelay. Deletes no Jobs, streams or queues."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from adapters.registry import adapter_of
from events.names import FINALIZER
from handler.commands.errors import FAILED, OK, Failed
from handler.settings.connections import cluster_of, namespaces_of, selector_of
from handler.settings.settings import Settings
from k8s.api.client import STRATEGIC_MERGE, segment
from k8s.api.cluster import Cluster
from k8s.base import Manifest, NotFound
from k8s.reading.job import is_newer

_WITHOUT_FINALIZER: Manifest = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
"""A patch that removes our finalizer, and leaves all others."""
JOBS, CRON_JOBS = "jobs", "cronjobs"
"""Resources, as in paths of the API."""


async def uninstall(settings: Settings, *, confirmed: bool) -> int:
    """Remove our finalizer from the Jobs and CronJobs of the installation, and delete its Lease.

    Returns 1 if a newer version has to do the rest. Raises `Failed` if the user says no.
    """
    async with cluster_of(settings) as cluster:
        namespaces = namespaces_of(settings, cluster)
        found = [item for namespace in namespaces for item in await _find(cluster, settings, namespace)]
        known = [item for item in found if not item.newer]
        newer = [item for item in found if item.newer]
        what = f"{_counted(known)} of instance {settings.instance} in {', '.join(namespaces)}"
        if not confirmed and not click.confirm(f"Let go of {what}? What becomes of them is not reported", err=True):
            raise Failed("nothing was changed")
        for namespace in namespaces:
            done = [item for item in known if item.namespace == namespace and await _drop_finalizer(cluster, item)]
            click.echo(f"{namespace}: finalizer {FINALIZER} removed from {_counted(done)}")
        leader = namespaces[0]
        gone = await _delete_lease(cluster, leader, settings.instance)
        click.echo(f"{leader}: Lease {settings.instance} {'deleted' if gone else 'was not there'}")
    click.echo(_rest(settings))
    if any(item.resource == CRON_JOBS for item in known):
        click.echo(_schedules(settings, namespaces))
    if newer:
        # A newer version may have done more to them than this version knows how to undo.
        what = f"{_counted(newer)} are left as they are, a newer jobrelay wrote them: run its uninstall"
        click.echo("\n".join([what, *(f"  {item.namespace}/{item.name}" for item in newer)]), err=True)
    return FAILED if newer else OK


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A Job or CronJob with our finalizer. `resource`: `JOBS` or `CRON_JOBS`."""

    resource: str
    namespace: str
    name: str
    newer: bool


async def _find(cluster: Cluster, settings: Settings, namespace: str) -> list[_Item]:
    selector = selector_of(settings)
    listed = {
        JOBS: await cluster.list_jobs(namespace, selector),
        CRON_JOBS: await cluster.list_cron_jobs(namespace, selector),
    }
    return [
        _Item(resource=resource, namespace=namespace, name=str(manifest["metadata"]["name"]), newer=is_newer(manifest))
        for resource, manifests in listed.items()
        for manifest in manifests
        if FINALIZER in manifest["metadata"].get("finalizers", ())
    ]


def _counted(found: Sequence[_Item]) -> str:
    cron_jobs = sum(item.resource == CRON_JOBS for item in found)
    jobs = f"{len(found) - cron_jobs} Jobs"
    return f"{jobs} and {cron_jobs} CronJobs" if cron_jobs else jobs


async def _drop_finalizer(cluster: Cluster, item: _Item) -> bool:
    """Returns whether the Job or CronJob was there."""
    path = f"/apis/batch/v1/namespaces/{segment(item.namespace)}/{item.resource}/{segment(item.name)}"
    try:
        # Not patch_job, which has to read the answer as a Job of ours: this may be a CronJob, or malformed.
        await cluster.client.request("PATCH", path, body=_WITHOUT_FINALIZER, content_type=STRATEGIC_MERGE)
    except NotFound:
        return False
    return True


async def _delete_lease(cluster: Cluster, namespace: str, name: str) -> bool:
    """Returns whether there was a Lease."""
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


def _rest(settings: Settings) -> str:
    lines = [
        "Stop jobrelay if it still runs: it would take hold of its Jobs again.",
        "Jobs stay as they are, and so does what the broker has. To delete that with all it holds:",
    ]
    for adapter in map(adapter_of, settings.sources):
        lines += [f"  {line}" for line in adapter.removal(settings.instance, adapter.options(settings.model_dump()))]
    return "\n".join(lines)
