"""`jobrelay logs`: the logs of a request's pods, from the cluster. It needs no broker."""

import asyncio
import sys

import click

from events.jobs.pods import Pod
from handler.commands.errors import OK, Failed
from handler.commands.jobs import Found, find
from handler.commands.showing.output import clean
from handler.settings.connections import cluster_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import NotFound, Refused

_LOOK_SECONDS = 0.5


async def logs(settings: Settings, *, request_id: str, follow: bool, tail: int | None) -> int:
    """Print the logs of a request's pods, oldest first; with `follow`, until its Jobs are over. Raises `Failed`."""
    async with cluster_of(settings) as cluster:
        if follow:
            await _follow(cluster, settings, request_id, tail)
            return OK
        found = await _find_any(cluster, settings, request_id)
        pods = [pod for item in found for pod in item.pods]
        if not pods:
            raise Failed(f"request {request_id} has no pod: {found[-1].last.phase}")
        for pod in pods:
            await _print_log(cluster, pod, follow=False, tail=tail, named=len(pods) > 1)
        return OK


async def _follow(cluster: Cluster, settings: Settings, request_id: str, tail: int | None) -> None:
    begun: set[str] = set()
    found = await _find_any(cluster, settings, request_id)
    async with asyncio.TaskGroup() as group:
        # A Job that disappears between two looks is over, too.
        while found:
            named = any(_may_have_several_pods(item) for item in found) or len(found) > 1
            for pod in (pod for item in found for pod in item.pods):
                # A container that has not run has no log, and asking for it is an error.
                if pod.started is not None and pod.uid not in begun:
                    begun.add(pod.uid)
                    group.create_task(_print_log(cluster, pod, follow=True, tail=tail, named=named))
            if all(item.job.finished or item.job.deleted is not None for item in found):
                break
            await asyncio.sleep(_LOOK_SECONDS)
            found = await find(cluster, settings, request_id=request_id)
    if not begun:
        click.echo(f"request {request_id} is over, and no pod of it ran", err=True)


def _may_have_several_pods(found: Found) -> bool:
    """Whether it has, or may get, several pods: then every line names its pod, from the first line on."""
    return len(found.pods) > 1 or found.job.parallelism > 1 or (found.job.completions or 1) > 1


async def _find_any(cluster: Cluster, settings: Settings, request_id: str) -> list[Found]:
    """The Jobs of a request, at least one. Raises `Failed`."""
    found = await find(cluster, settings, request_id=request_id)
    if not found:
        raise Failed(f"no Job of request {request_id}")
    return found


async def _print_log(cluster: Cluster, pod: Pod, *, follow: bool, tail: int | None, named: bool) -> None:
    rest = b""
    prefix = f"{pod.name}: ".encode() if named else b""
    container = pod.main.name if pod.main and len(pod.containers) > 1 else None
    try:
        async for piece in cluster.pod_log(pod.namespace, pod.name, container=container, follow=follow, tail=tail):
            *lines, rest = (rest + piece).split(b"\n")
            _write_out(b"".join(prefix + line + b"\n" for line in lines))
    except (NotFound, Refused) as error:
        click.echo(f"{pod.name}: {clean(error)}", err=True)
    if rest:
        _write_out(prefix + rest + b"\n")


def _write_out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
