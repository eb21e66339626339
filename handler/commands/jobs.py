"""`jobrelay get`: what the cluster knows of requests, else the history. It needs no broker."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import click
import msgspec
from rich.text import Text

from events.identity import request_label
from events.jobs.observed import Job, Schedule
from events.jobs.pods import Pod
from events.jobs.queueing import read_outcomes, read_queueing
from events.jobs.usage import PodUsage, Usage, sampled, usage_now
from events.lifecycle.failures import judged
from events.lifecycle.outcome import is_ending, outcome
from events.lifecycle.results import exit_code
from events.lifecycle.transitions import Transition, transitions
from events.names import MANAGED_BY, Label, Reason
from events.phases import Phase
from handler.commands.errors import OK
from handler.commands.history.fallback import get_kept
from handler.commands.schedules import Names, find_schedules, names_of, schedule_facts, show_schedules
from handler.commands.showing.facts import facts_of
from handler.commands.showing.output import amount, duration, say_left_out, table, write
from handler.commands.showing.phases import ENDING, phase_text, sentence
from handler.settings.connections import cluster_of, namespaces_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError
from k8s.reading.pod import parse_pod

_ELSEWHERE = ("request_id", "source", "service", "verdict", "instance", "stray", "lost_labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A Job of the installation with its Pods. `usage`: what they use now, where the cluster measures it."""

    job: Job
    pods: Sequence[Pod]
    usage: Usage | None = None

    @property
    def last(self) -> Transition:
        """Its latest transition, or `queued` while it waits to be admitted. While it ends, `phase` says that."""
        job = self.job
        if job.queued is not None and job.suspend and outcome(job) is None:
            return Transition(phase=Phase.QUEUED, time=job.created, detail=_why_it_waits(job))
        shown = transitions(job, self.pods)
        return shown[-1] if shown else Transition(phase=Phase.CREATED, time=job.created, detail={})

    @property
    def ending(self) -> bool:
        """Its end is certain, and it has not come: its pods use up their grace period."""
        return outcome(self.job) is None and is_ending(self.job)

    @property
    def phase(self) -> str:
        return ENDING if self.ending else self.last.phase

    @property
    def detail(self) -> Mapping[str, Any]:
        """What belongs to the phase."""
        return _why_it_ends(self.job) if self.ending else self.last.detail


def _why_it_ends(job: Job) -> dict[str, Any]:
    """The verdict, else what Kubernetes says."""
    verdict = job.verdict_of()
    if verdict is not None:
        return {"error": {"errorCode": verdict.error_code, "message": verdict.message}}
    decided = job.condition("FailureTarget") or job.condition("SuccessCriteriaMet")
    if decided is not None:
        return {"message": decided.message or decided.reason}
    return {"message": "the Job is being deleted"}


def _why_it_waits(job: Job) -> dict[str, Any]:
    """The reason as far as the Job shows it; its place in the queue is known to the leader alone."""
    asked = read_queueing(job.queueing)
    ended = read_outcomes(job.dependencies)
    if missing := [request_id for request_id in asked.dependencies if request_id not in ended]:
        return {"reason": Reason.DEPENDENCIES, "requests": missing}
    if asked.run_at is not None and (asked.not_before or 0.0) > time.time():
        return {"reason": Reason.RUN_AT if job.attempt == 1 else Reason.RETRY_DELAY, "until": asked.run_at}
    return {"reason": "waits for room"}


async def get(settings: Settings, *, request_id: str | None, source: str | None, form: str) -> int:
    """Print all Jobs and schedules of the installation, of a request, or of a source.

    Of a request that has none, print what the history has. Raises `Failed` if that is nothing.
    """
    async with cluster_of(settings) as cluster:
        namespaces = namespaces_of(settings, cluster)
        jobs = await find(cluster, settings, request_id=request_id, source=source)
        schedules = await find_schedules(cluster, namespaces, selector=_selector(settings, request_id))
        schedules = [schedule for schedule in schedules if source in (None, schedule.source)]
        if request_id is not None:
            jobs += await find(cluster, settings, request_id=request_id, source=source, label=Label.SCHEDULE)
        found = await with_usage(cluster, settings, jobs)
        now = cluster.server_time()
    if request_id is not None and not found and not schedules:
        gone = no_job_of(request_id, source)
        return await get_kept(settings, request_id=request_id, source=source, form=form, gone=gone)
    if form != "table":
        for document in (*(schedule_facts(schedule, now=now) for schedule in schedules), *map(facts, found)):
            write(form, document)
    else:
        _print_tables(schedules, found, now)
    return OK


def _print_tables(schedules: Sequence[Schedule], found: Sequence[Found], now: float) -> None:
    names = names_of([*schedules, *(item.job for item in found)])
    if schedules:
        show_schedules(schedules, names=names, now=now)
    if schedules and found:
        click.echo()
    if found:
        columns = ("ID", "SERVICE", "JOB", "PHASE", "AGE", "DURATION", "EXIT", "DETAIL")
        table(columns, [_row(item, names, now) for item in found], wide="DETAIL")
    elif not schedules:
        click.echo("no Jobs", err=True)


def no_job_of(request_id: str, source: str | None) -> str:
    """What to say of a request that has no Job."""
    return f"no Job of request {request_id}" + (f" from {source}" if source is not None else "")


async def find(
    cluster: Cluster,
    settings: Settings,
    *,
    request_id: str | None = None,
    source: str | None = None,
    label: str = Label.REQUEST,
) -> list[Found]:
    """Jobs of the installation with their Pods, oldest first.

    `request_id`: only those of this request or, with label `SCHEDULE`, the runs of this schedule. `source`: only those
    of requests of this source.
    """
    selector = _selector(settings, request_id, label)
    namespaces = namespaces_of(settings, cluster)
    jobs = await cluster.find_jobs(namespaces, selector, skipped=say_left_out)
    pods = [pod for namespace in namespaces for pod in await pods_in(cluster, namespace, selector)]
    found = [
        Found(job=job, pods=[pod for pod in pods if pod.job_uid == job.uid])
        for job in jobs
        if not job.new_run
        and (label == Label.SCHEDULE or request_id in (None, job.request_id))
        and source in (None, job.source)
    ]
    return sorted(found, key=lambda item: (item.job.created, item.job.name))


async def with_usage(cluster: Cluster, settings: Settings, found: Sequence[Found]) -> Sequence[Found]:
    """Add what the Jobs use now, unless the cluster does not measure it or this user may not read it."""
    used: dict[tuple[str, str], PodUsage] = {}
    for namespace in sorted({item.job.namespace for item in found if item.job.active}):
        with suppress(KubernetesError):
            pods = await cluster.pod_metrics(namespace, _selector(settings, None))
            used |= {(namespace, pod.name): pod for pod in pods}
    return [replace(item, usage=sampled(None, _used_by(item.pods, used))) for item in found]


def _used_by(pods: Sequence[Pod], used: Mapping[tuple[str, str], PodUsage]) -> list[PodUsage]:
    return [used[key] for pod in pods if (key := (pod.namespace, pod.name)) in used]


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


def _row(found: Found, names: Names, now: float) -> list[str | Text]:
    job, last = found.job, found.last
    until = last.time if last.terminal else now
    ended = [judged(pod) for pod in found.pods]
    codes = sorted({code for one in ended for code in exit_code(one).values()})
    phase, told = found.phase, {**found.detail, "duration": None, "exitCode": None}
    detail = "" if phase == Phase.CREATED else sentence(phase, told)
    using = found.usage
    if using is not None:
        detail = ", ".join(filter(None, (detail, amount(using.cpu, using.memory))))
    return [
        names[job.source, job.request_id],
        job.service or "",
        f"{job.namespace}/{job.name}",
        phase_text(phase),
        duration(now - job.created),
        duration(until - job.start_time) if job.start_time is not None else "",
        ",".join(map(str, codes)),
        detail,
    ]


def facts(found: Found) -> dict[str, Any]:
    """All that is known of a Job, as a document; times in RFC 3339."""
    job = found.job
    verdict = job.verdict_of()
    return {
        "kind": "job",
        "id": job.request_id,
        "source": job.source,
        "service": job.service,
        "phase": found.phase,
        "detail": found.detail,
        "verdict": facts_of(verdict) if verdict is not None else None,
        "usage": usage_now(found.usage) if found.usage is not None else None,
        "job": facts_of(job, without=_ELSEWHERE),
        "pods": [facts_of(pod, without=("namespace", "job_uid")) for pod in found.pods],
    }
