"""`jobrelay get` and `jobrelay logs`: what the cluster knows of requests. Needs no broker."""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import click
import msgspec
from rich.text import Text

from events.identity import request_label
from events.jobs.observed import Job, Pod, Schedule
from events.jobs.queueing import read_outcomes, read_queueing
from events.jobs.usage import PodUsage, Usage, sampled, usage_now
from events.lifecycle.outcome import outcome
from events.lifecycle.transitions import Transition, transitions
from events.names import MANAGED_BY, Label, Reason
from events.phases import Phase
from handler.commands.errors import OK, Failed
from handler.commands.schedules import find_schedules, schedule_facts, show_schedules
from handler.commands.showing.facts import facts_of
from handler.commands.showing.output import amount, clean, duration, say_left_out, table, write
from handler.commands.showing.phases import phase_text, sentence
from handler.settings.connections import cluster_of, namespaces_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError, NotFound, Refused
from k8s.reading.job import parse_pod

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A Job of the installation, its Pods, and what they show. `usage`: of the moment, where the cluster tells."""

    job: Job
    pods: Sequence[Pod]
    usage: Usage | None = None

    @property
    def last(self) -> Transition:
        """Its latest transition, or that it waits for its turn."""
        job = self.job
        if job.queued is not None and job.suspend and outcome(job) is None:
            return Transition(phase=Phase.QUEUED, time=job.created, detail=_waiting(job))
        shown = transitions(job, self.pods)
        return shown[-1] if shown else Transition(phase=Phase.CREATED, time=job.created, detail={})


def _waiting(job: Job) -> dict[str, Any]:
    """What the Job itself says of why it waits; how many go first is known to the leader alone."""
    asked = read_queueing(job.queueing)
    ended = read_outcomes(job.dependencies)
    if missing := [one for one in asked.dependencies if one not in ended]:
        return {"reason": Reason.DEPENDENCIES, "requests": missing}
    if asked.run_at is not None and (asked.not_before or 0.0) > time.time():
        return {"reason": Reason.RUN_AT if job.attempt == 1 else Reason.RETRY_DELAY, "until": asked.run_at}
    return {"reason": "waits for room"}


async def get(settings: Settings, *, request_id: str | None, form: str) -> int:
    """All Jobs and schedules of the installation, or those of one request. Raises `Failed` when there is none."""
    async with cluster_of(settings) as cluster:
        namespaces = namespaces_of(settings, cluster)
        jobs = await find(cluster, settings, request_id=request_id)
        plans = await find_schedules(cluster, namespaces, selector=_selector(settings, request_id))
        if request_id is not None:
            jobs += await find(cluster, settings, request_id=request_id, label=Label.SCHEDULE)
        found = await with_usage(cluster, settings, jobs)
        now = cluster.server_time()
    if request_id is not None and not found and not plans:
        raise Failed(f"no Job of request {request_id}")
    if form != "table":
        for document in (*(schedule_facts(one, now=now) for one in plans), *map(facts, found)):
            write(form, document)
    else:
        _show(plans, found, now)
    return OK


def _show(plans: Sequence[Schedule], found: Sequence[Found], now: float) -> None:
    if plans:
        show_schedules(plans, now=now)
    if plans and found:
        click.echo()
    if found:
        columns = ("ID", "SERVICE", "JOB", "PHASE", "AGE", "DURATION", "EXIT", "DETAIL")
        table(columns, [_row(one, now) for one in found], wide="DETAIL")
    elif not plans:
        click.echo("no Jobs", err=True)


async def find(
    cluster: Cluster, settings: Settings, *, request_id: str | None = None, label: str = Label.REQUEST
) -> list[Found]:
    """Jobs of the installation with their Pods, oldest first; with label `SCHEDULE`, the runs of that schedule."""
    selector = _selector(settings, request_id, label)
    namespaces = namespaces_of(settings, cluster)
    jobs = await cluster.find_jobs(namespaces, selector, skipped=say_left_out)
    pods = [pod for namespace in namespaces for pod in await pods_in(cluster, namespace, selector)]
    found = [
        Found(job=job, pods=[pod for pod in pods if pod.job_uid == job.uid])
        for job in jobs
        if not job.new_run and (label == Label.SCHEDULE or request_id in (None, job.request_id))
    ]
    return sorted(found, key=lambda one: (one.job.created, one.job.name))


async def with_usage(cluster: Cluster, settings: Settings, found: Sequence[Found]) -> Sequence[Found]:
    """The same with what they use now. A cluster that does not tell, or does not tell this user, is no failure."""
    used: dict[tuple[str, str], PodUsage] = {}
    for namespace in sorted({one.job.namespace for one in found if one.job.active}):
        with suppress(KubernetesError):
            pods = await cluster.pod_metrics(namespace, _selector(settings, None))
            used |= {(namespace, pod.name): pod for pod in pods}
    return [
        replace(one, usage=sampled(None, [used[key] for pod in one.pods if (key := (pod.namespace, pod.name)) in used]))
        for one in found
    ]


async def pods_in(cluster: Cluster, namespace: str, selector: str) -> list[Pod]:
    """All Pods that the label selector matches, oldest first."""
    answer = await cluster.client.request(
        "GET", f"/api/v1/namespaces/{namespace}/pods", params={"labelSelector": selector}
    )
    pods = [parse_pod(raw) for raw in msgspec.json.decode(answer, type=_PodList).items]
    return sorted(pods, key=lambda pod: (pod.created, pod.name))


class _PodList(msgspec.Struct):
    items: list[msgspec.Raw]


def _selector(settings: Settings, request_id: str | None, label: str = Label.REQUEST) -> str:
    labels = {Label.MANAGED_BY: MANAGED_BY, Label.INSTANCE: settings.instance}
    if request_id is not None:
        labels[label] = request_label(request_id)
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _row(found: Found, now: float) -> list[str | Text]:
    job, last = found.job, found.last
    ended = last.time if last.terminal else now
    codes = sorted({pod.exit_code for pod in found.pods if pod.exit_code is not None})
    detail = (
        "" if last.phase is Phase.CREATED else sentence(last.phase, {**last.detail, "duration": None, "exitCode": None})
    )
    using = found.usage
    if using is not None:
        detail = ", ".join(filter(None, (detail, amount(using.cpu, using.memory))))
    return [
        job.request_id,
        job.service or "",
        f"{job.namespace}/{job.name}",
        phase_text(last.phase),
        duration(now - job.created),
        duration(ended - job.start_time) if job.start_time is not None else "",
        ",".join(map(str, codes)),
        detail,
    ]


def facts(found: Found) -> dict[str, Any]:
    """One Job with all that is known of it; times as RFC 3339."""
    job, last = found.job, found.last
    verdict = job.verdict_of()
    return {
        "kind": "job",
        "id": job.request_id,
        "source": job.source,
        "service": job.service,
        "phase": last.phase,
        "detail": last.detail,
        "verdict": facts_of(verdict) if verdict is not None else None,
        "usage": usage_now(found.usage) if found.usage is not None else None,
        "job": facts_of(job, without=("request_id", "source", "service", "verdict")),
        "pods": [facts_of(pod, without=("namespace", "job_uid")) for pod in found.pods],
    }


async def logs(settings: Settings, *, request_id: str, follow: bool, tail: int | None) -> int:
    """The logs of the request's pods, oldest first; with `follow` until the Job is over. Raises `Failed`."""
    async with cluster_of(settings) as cluster:
        if follow:
            await _follow(cluster, settings, request_id, tail)
            return OK
        found = await _of_request(cluster, settings, request_id)
        pods = [pod for one in found for pod in one.pods]
        if not pods:
            raise Failed(f"request {request_id} has no pod: {found[-1].last.phase}")
        for pod in pods:
            await _copy(cluster, pod, follow=False, tail=tail, named=len(pods) > 1)
        return OK


async def _follow(cluster: Cluster, settings: Settings, request_id: str, tail: int | None) -> None:
    told: set[str] = set()
    found = await _of_request(cluster, settings, request_id)
    async with asyncio.TaskGroup() as group:
        # One that is gone between two looks is over, too.
        while found:
            named = any(_many(one) for one in found) or len(found) > 1
            for pod in (pod for one in found for pod in one.pods):
                # A container that has not run has no log, and asking for it is an error.
                if pod.started is not None and pod.uid not in told:
                    told.add(pod.uid)
                    group.create_task(_copy(cluster, pod, follow=True, tail=tail, named=named))
            if all(one.job.finished or one.job.deleted is not None for one in found):
                break
            await asyncio.sleep(_LOOK_SECONDS)
            found = await find(cluster, settings, request_id=request_id)
    if not told:
        click.echo(f"request {request_id} is over, and no pod of it ran", err=True)


def _many(found: Found) -> bool:
    """Several pods, or several to come: a line says whose it is, from the first one on."""
    return len(found.pods) > 1 or found.job.parallelism > 1 or (found.job.completions or 1) > 1


async def _of_request(cluster: Cluster, settings: Settings, request_id: str) -> list[Found]:
    found = await find(cluster, settings, request_id=request_id)
    if not found:
        raise Failed(f"no Job of request {request_id}")
    return found


async def _copy(cluster: Cluster, pod: Pod, *, follow: bool, tail: int | None, named: bool) -> None:
    rest = b""
    prefix = f"{pod.name}: ".encode() if named else b""
    try:
        async for piece in cluster.pod_log(pod.namespace, pod.name, container=pod.container, follow=follow, tail=tail):
            *lines, rest = (rest + piece).split(b"\n")
            _put(b"".join(prefix + line + b"\n" for line in lines))
    except (NotFound, Refused) as error:
        click.echo(f"{pod.name}: {clean(error)}", err=True)
    if rest:
        _put(prefix + rest + b"\n")


def _put(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
