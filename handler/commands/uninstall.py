"""`jobrelay uninstall`: lets go of all in the cluster that would wait for jobrelay. Deletes no Job and no stream."""

from collections.abc import Collection

import click

from adapters.rabbitmq_topology import queue_names
from events.names import FINALIZER
from handler.commands.errors import FAILED, OK, Failed
from handler.connections import broker_name, cluster_of, namespaces_of, selector_of
from handler.settings import Settings
from k8s.base import Manifest, NotFound
from k8s.client import STRATEGIC_MERGE, segment
from k8s.cluster import Cluster
from k8s.job import is_newer

LET_GO: Manifest = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
"""Takes our finalizer away and leaves everybody else's."""


async def uninstall(settings: Settings, *, confirmed: bool) -> int:
    """Remove our finalizer from the Jobs of the installation, and its Lease. Raises `Failed` when not confirmed."""
    async with cluster_of(settings) as cluster:
        namespaces = namespaces_of(settings, cluster)
        found = {namespace: await _held(cluster, settings, namespace) for namespace in namespaces}
        held = {namespace: [_name(job) for job in jobs if not is_newer(job)] for namespace, jobs in found.items()}
        newer = [f"{namespace}/{_name(job)}" for namespace, jobs in found.items() for job in jobs if is_newer(job)]
        count = sum(len(names) for names in held.values())
        what = f"{count} Jobs of instance {settings.instance} in {', '.join(namespaces)}"
        if not confirmed and not click.confirm(f"Let go of {what}? What becomes of them is not reported", err=True):
            raise Failed("nothing was changed")
        for namespace, names in held.items():
            done = [name for name in names if await _let_go(cluster, namespace, name)]
            click.echo(f"{namespace}: finalizer {FINALIZER} removed from {len(done)} Jobs")
        leader = namespaces[0]
        gone = await _delete_lease(cluster, leader, settings.instance)
        click.echo(f"{leader}: Lease {settings.instance} {'deleted' if gone else 'was not there'}")
    click.echo(_rest(settings.instance, {broker_name(url) for url in settings.sources}))
    if newer:
        # They may hold on to more than we know of.
        click.echo(f"{len(newer)} Jobs are left as they are, a newer jobrelay wrote them: run its uninstall", err=True)
        click.echo("\n".join(f"  {name}" for name in newer), err=True)
    return FAILED if newer else OK


async def _held(cluster: Cluster, settings: Settings, namespace: str) -> list[Manifest]:
    jobs = await cluster.list_jobs(namespace, selector_of(settings))
    return [job for job in jobs if FINALIZER in job["metadata"].get("finalizers", ())]


def _name(job: Manifest) -> str:
    return str(job["metadata"]["name"])


async def _let_go(cluster: Cluster, namespace: str, name: str) -> bool:
    path = f"/apis/batch/v1/namespaces/{segment(namespace)}/jobs/{segment(name)}"
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


def _rest(instance: str, brokers: Collection[str]) -> str:
    lines = [
        "Stop jobrelay if it still runs: it would take hold of its Jobs again.",
        "Jobs stay as they are, and so does what the broker has. To delete that with all it holds:",
    ]
    if "nats" in brokers:
        streams = ("REQUESTS", "CONTROL", "LIFECYCLE", "DEAD")
        lines += [f"  nats stream rm {instance.upper()}_{stream}" for stream in streams]
    if "rabbitmq" in brokers:
        lines += [f"  rabbitmqctl delete_queue {name}" for name in queue_names(instance)]
        lines.append(f"  and the exchanges {instance}.*, which hold nothing")
    return "\n".join(lines)
