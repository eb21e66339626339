"""The Jobs of requests as they are now, read from the cluster."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from events.identity import request_label
from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.jobs.queueing import read_outcomes, read_queueing
from events.jobs.usage import PodUsage, Usage, sampled, usage_now
from events.lifecycle.outcome import is_ending, outcome
from events.lifecycle.transitions import Transition, transitions
from events.names import Label, Reason
from events.phases import Phase
from handler.operations.facts import facts_of
from handler.operations.sentences import ENDING
from handler.settings import connections
from handler.settings.connections import namespaces_of
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


async def find(
    cluster: Cluster,
    settings: Settings,
    *,
    request_id: str | None = None,
    source: str | None = None,
    label: str = Label.REQUEST,
    skipped: Callable[[Exception], None],
) -> list[Found]:
    """Jobs of the installation with their Pods, oldest first.

    `request_id`: only those of this request or, with label `SCHEDULE`, the runs of this schedule. `source`: only those
    of requests of this source. `skipped`: is told of objects that cannot be read.
    """
    selector = selector_of(settings, request_id, label)
    namespaces = namespaces_of(settings, cluster)
    jobs = await cluster.find_jobs(namespaces, selector, skipped=skipped)
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
            pods = await cluster.pod_metrics(namespace, selector_of(settings, None))
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


def selector_of(settings: Settings, request_id: str | None, label: str = Label.REQUEST) -> str:
    """The label selector of the installation's objects, or of those of this request."""
    ours = connections.selector_of(settings)
    return ours if request_id is None else f"{ours},{label}={request_label(request_id)}"


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
