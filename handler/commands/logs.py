"""`jobrelay logs`: the logs of a request's pods, from the cluster, else from the history. It needs no broker."""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import click

from events.jobs.pods import Container, Pod, Role
from handler.commands.errors import OK, Failed
from handler.commands.history.fallback import print_kept
from handler.commands.history.logs import Wish
from handler.commands.jobs import no_job_of
from handler.commands.showing.output import say, say_left_out
from handler.operations.jobs import Found, find
from handler.operations.wording import clean
from handler.settings.connections import cluster_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import NotFound, Refused

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log of a container. `container`: None for the only one of its Pod. `missing`: why it has none yet, if so.

    `name`: what errors and notes call it. `prefix`: stands before each of its lines.
    """

    pod: Pod
    container: str | None
    name: str
    prefix: str
    missing: str | None


async def logs(
    settings: Settings, *, request_id: str, source: str | None, follow: bool, tail: int | None, container: str | None
) -> int:
    """Print the logs of a request's pods, oldest first, of each its init containers first.

    `source`: None means the requests of all sources that use the id. `container`: only the logs of the containers of
    this name. With `follow`, until its Jobs are over. Of a request without a Job, or whose pods have gone, print what
    the history has. Raises `Failed`.
    """
    try:
        async with cluster_of(settings) as cluster:
            if follow:
                await _follow(cluster, settings, request_id, source, tail, container)
            else:
                await _print_logs(cluster, settings, request_id, source, tail, container)
        return OK
    except _Gone as gone:
        wish = Wish(container=container, tail=tail)
        return await print_kept(settings, request_id=request_id, source=source, wish=wish, gone=str(gone))


class _Gone(Failed):
    """The cluster has no Job of the request any more, or no pod that could have a log."""


async def _print_logs(
    cluster: Cluster, settings: Settings, request_id: str, source: str | None, tail: int | None, container: str | None
) -> None:
    found = await _find_any(cluster, settings, request_id, source)
    pods = [pod for item in found for pod in item.pods]
    if not pods:
        kind = Failed if settings.history is None else _Gone
        raise kind(f"request {request_id} has no pod: {found[-1].phase}")
    _check_name(found, container, request_id)
    for log in _logs(found, container, named=len(pods) > 1):
        # Without a choice the cluster says what is wrong with the only container.
        if log.missing is not None and log.container is not None:
            _note(log)
        else:
            await _print_log(cluster, log, follow=False, tail=tail)


async def _follow(
    cluster: Cluster, settings: Settings, request_id: str, source: str | None, tail: int | None, container: str | None
) -> None:
    seen: dict[tuple[str, str | None], Log] = {}
    found = await _find_any(cluster, settings, request_id, source)
    async with asyncio.TaskGroup() as group:
        # A Job that disappears between two looks is over, too.
        while found:
            _check_name(found, container, request_id)
            named = any(_may_have_several_pods(item) for item in found) or len(found) > 1
            for log in _logs(found, container, named=named):
                before = seen.get(key := (log.pod.uid, log.container))
                if before is not None and before.missing is None:
                    continue
                seen[key] = log
                # A container that has not run has no log, and asking for it is an error.
                if log.missing is None:
                    group.create_task(_print_log(cluster, log, follow=True, tail=tail))
            if all(item.job.finished or item.job.deleted is not None for item in found):
                break
            await asyncio.sleep(_LOOK_SECONDS)
            found = await find(cluster, settings, request_id=request_id, source=source, skipped=say_left_out)
    _tell_missing(list(seen.values()), request_id, container)


def _tell_missing(logs: Sequence[Log], request_id: str, container: str | None) -> None:
    """Say which containers never ran."""
    if all(log.missing is not None for log in logs):
        what = "no pod" if container is None else f"no container {container}"
        say(f"request {request_id} is over, and {what} of it ran")
        return
    for log in logs:
        if log.missing is not None and log.container is not None:
            _note(log)


def _logs(found: Iterable[Found], container: str | None, *, named: bool) -> Iterator[Log]:
    """All logs in the order to print them. `named`: a pod's only log has the name of its pod before each line."""
    for item in found:
        for pod in item.pods:
            plain = f"{pod.name}: " if named else ""
            if len(pod.containers) < 2:
                missing = None if pod.main is not None and _has_run(pod.main) else "has not started"
                yield Log(pod=pod, container=None, name=pod.name, prefix=plain, missing=missing)
                continue
            for one in sorted(pod.containers, key=lambda one: one.role not in (Role.INIT, Role.SIDECAR)):
                if container not in (None, one.name):
                    continue
                name = f"[pod/{pod.name}/{one.name}]"
                because = f": {clean(one.waiting_reason)}" if one.waiting_reason else ""
                yield Log(
                    pod=pod,
                    container=one.name,
                    name=name,
                    prefix=f"{name} " if container is None else plain,
                    missing=None if _has_run(one) else f"has not started{because}",
                )


def _has_run(container: Container) -> bool:
    """Whether it has a log, if only an empty one."""
    return container.started is not None or container.exit_code is not None


def _check_name(found: Sequence[Found], container: str | None, request_id: str) -> None:
    """Raises `Failed` if there are pods, and none has a container of this name."""
    names = {one.name: None for item in found for pod in item.pods for one in pod.containers}
    if container is not None and names and container not in names:
        raise Failed(f"request {request_id} has no container {container}: it has {', '.join(names)}")


def _may_have_several_pods(found: Found) -> bool:
    """Whether it has, or may get, several pods: then every line names its pod, from the first line on."""
    return len(found.pods) > 1 or found.job.parallelism > 1 or (found.job.completions or 1) > 1


async def _find_any(cluster: Cluster, settings: Settings, request_id: str, source: str | None) -> list[Found]:
    """The Jobs of a request, at least one. Raises `Failed`. Says if they are those of several requests."""
    found = await find(cluster, settings, request_id=request_id, source=source, skipped=say_left_out)
    if not found:
        raise _Gone(no_job_of(request_id, source))
    if len(sources := sorted({item.job.source for item in found})) > 1:
        click.echo(clean(f"several sources use this id, --source names one: {', '.join(sources)}"), err=True)
    return found


async def _print_log(cluster: Cluster, log: Log, *, follow: bool, tail: int | None) -> None:
    rest = b""
    pod, prefix = log.pod, log.prefix.encode()
    try:
        async for piece in cluster.pod_log(pod.namespace, pod.name, container=log.container, follow=follow, tail=tail):
            *lines, rest = (rest + piece).split(b"\n")
            _write_out(b"".join(prefix + line + b"\n" for line in lines))
    except (NotFound, Refused) as error:
        say(f"{log.name}: {clean(error)}")
    if rest:
        _write_out(prefix + rest + b"\n")


def _note(log: Log) -> None:
    say(f"{log.name} {log.missing}")


def _write_out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
