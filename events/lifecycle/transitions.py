"""What has happened to a request, from its Job and Pods as they are now. Pure. How it ended is in outcome.py."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from events.cloudevent.timestamp import format_epoch
from events.jobs.asked import asked_for
from events.jobs.attempts import next_attempt_at, written_time
from events.jobs.observed import Condition, Job, Ours
from events.jobs.pods import Container, Pod
from events.jobs.starts import Start, first_pod, noted_start, start_of
from events.jobs.usage import Usage, usage_now, usage_summary
from events.lifecycle.failures import Failure, failed_pods, failure
from events.lifecycle.outcome import counted_at, counts, is_ending, outcome, outcome_detail, waits
from events.names import BY_KUEUE, Payload
from events.phases import Phase

EXTERNAL = "external"
"""Who suspended a Job that carries no `suspended-by` and is not Kueue's."""
_STALLS = {
    **dict.fromkeys(
        ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"),
        "IMAGE_PULL",
    ),
    **dict.fromkeys(
        ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "ContainerCannotRun"),
        "CREATE_CONTAINER",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One thing that happened. `time` is Kubernetes' (epoch seconds), `detail` its part of the event's `detail`."""

    phase: Phase
    suffix: str = ""
    time: float
    detail: dict[str, Any]

    @property
    def key(self) -> str:
        """`<phase>[/<suffix>]`: its name among those of its Job, the same however often it is seen."""
        return f"{self.phase}/{self.suffix}" if self.suffix else self.phase.value

    @property
    def terminal(self) -> bool:
        return self.phase.traits.terminal

    def id(self, about: Ours) -> str:
        """The CloudEvent's id."""
        return f"{about.uid}/{self.key}"


def transitions(
    job: Job, pods: Sequence[Pod], usage: Usage | None = None, *, log: str | None = None, created: bool = True
) -> list[Transition]:
    """All that the state shows, in the order to publish it: `created`, the rest by time, the end last.

    Without `created` if that is not wanted, which is half of the work for a Job that merely runs.

    The end of an attempt is `retrying` if another attempt follows. Empty for a further attempt with nothing to tell.
    `log`: the end of the log of `outcome.unread`, where somebody has read it.
    """
    shown = _of_shown_starts(job, pods)
    start = first_start(job, pods)
    between = [*_queued(job), *_suspended(job, shown), *_stalled(job, shown), *_retrying(job, shown)]
    if start is not None:
        between += [_started(start), *_progress(job, shown, usage)]
    between.sort(key=lambda one: _moment(one, start, shown))
    return [*(_created(job) if created else ()), *between, *_end(job, pods, usage, log)]


def _of_shown_starts(job: Job, pods: Sequence[Pod]) -> Sequence[Pod]:
    """Without the pods that are ahead of their Job: if that is suspended, they wait until it shows its resumption.

    The watches of Jobs and Pods are not in step.
    """
    suspended = job.condition("Suspended")
    if suspended is None:
        return pods
    return [pod for pod in pods if pod.created <= suspended.at or pod.killed is not None]


def _moment(one: Transition, start: Start | None, pods: Sequence[Pod]) -> tuple[float, int]:
    """By what to sort it. The clocks of nodes may differ from that of Kubernetes."""
    time = one.time
    if start is not None and one.phase in (Phase.RETRYING, Phase.PROGRESS, Phase.SUSPENDED):
        # An evicted pod may never have run, and a sample may be older than the start of its container. Subscribers are
        # to see `started` first all the same.
        time = max(time, start.time)
    elif start is not None and one.phase is Phase.RESUMED:
        started_by_it = any(pod.uid == start.pod_id and pod.made_since(time) for pod in pods)
        time = min(time, start.time) if started_by_it else time
    return time, one.phase.traits.rank


def _created(job: Job) -> Iterator[Transition]:
    if job.attempt > 1:
        return  # It was told for the first attempt.
    detail: dict[str, Any] = {"attempt": 1, "jobId": job.uid, "jobName": job.name, "namespace": job.namespace}
    if job.ttl is not None:
        # The TTL in force: the request's own may have been too short to recognize repeats.
        detail["ttlSecondsAfterFinished"] = job.ttl
    detail["request"] = asked_for(job)
    yield Transition(phase=Phase.CREATED, time=job.created, detail=detail)


def _queued(job: Job) -> Iterator[Transition]:
    """In Kueue's queue only: why a Job waits in ours is known to the leader alone."""
    if waits(job):
        detail = {"attempt": job.attempt, "reason": BY_KUEUE}
        yield Transition(phase=Phase.QUEUED, suffix=BY_KUEUE, time=job.created, detail=detail)


def _suspended(job: Job, pods: Sequence[Pod]) -> Iterator[Transition]:
    condition = next((one for one in job.conditions if one.type == "Suspended"), None)
    if condition is None or not _told(job, condition):
        return
    by = job.suspended_by or (BY_KUEUE if job.kueue else EXTERNAL)
    yield Transition(
        phase=Phase.SUSPENDED if condition.status else Phase.RESUMED,
        suffix=format_epoch(condition.at),
        time=condition.at,
        detail={"attempt": attempt_at(job, pods, condition.at), "by": by},
    )


def _told(job: Job, suspended: Condition) -> bool:
    admitted = job.queued is None and (job.released is not None or not job.kueue)
    if not admitted and job.suspended_by is None:
        return False  # It waits for admission, so nobody has suspended it.
    if suspended.status:
        # Suspended only until its payload exists: not a user's suspension. After the release the condition may lag.
        return job.payload != Payload.PENDING and (job.suspend or job.suspended_by is not None)
    if job.released is not None and job.suspended_by is None:
        return False  # It was let run for the first time, which is not a resumption.
    # A verdict ends a suspended Job by unsuspending it, which is not a resumption either.
    verdict = job.verdict_of()
    return verdict is None or suspended.at < int(verdict.at)


def first_start(job: Job, pods: Sequence[Pod]) -> Start | None:
    """The start that `started` tells: as noted on the Job, else that of the first pod; None if none has run."""
    first = first_pod(_of_shown_starts(job, pods))
    if (noted := noted_start(job)) is not None or first is None:
        return noted
    return start_of(job, first, attempt=attempt_at(job, pods, first.started or first.created))


def _started(start: Start) -> Transition:
    detail = {"attempt": start.attempt, "podId": start.pod_id, "podName": start.pod_name, "node": start.node}
    return Transition(phase=Phase.STARTED, suffix=start.suffix, time=start.time, detail=detail)


def _stalled(job: Job, pods: Sequence[Pod]) -> Iterator[Transition]:
    if job.finished or job.verdict_of() is not None:
        return
    told = set()
    for pod in sorted(pods, key=lambda pod: (pod.created, pod.name)):
        for cause, message, container in stalls(pod):
            if cause in told:
                continue
            told.add(cause)
            error = Failure(code=cause, message=message, container=container).error
            detail = {"attempt": attempt_at(job, pods, pod.created), "error": error}
            # Kubernetes does not say when a pod began to wait for this.
            yield Transition(phase=Phase.STALLED, suffix=cause, time=pod.created, detail=detail)


def stalls(pod: Pod) -> Iterator[tuple[str, str, Container | None]]:
    """(error code, message, container) of what keeps it from running and does not pass by itself."""
    if pod.over or pod.deleted is not None:
        return
    if pod.scheduled_reason == "Unschedulable":
        yield "UNSCHEDULABLE", pod.scheduled_message or "no node can run the pod", None
    for container in pod.containers:
        reason = container.waiting_reason or ""
        if reason in _STALLS:
            yield _STALLS[reason], container.waiting_message or reason, container


def _retrying(job: Job, pods: Sequence[Pod]) -> Iterator[Transition]:
    failed = list(_within_limits(job, pods))
    if not failed:
        return
    goes_on = not job.finished and job.verdict_of() is None and job.condition("FailureTarget") is None
    goes_on = goes_on or job.condition("Complete") is not None
    each = job.backoff_limit_per_index is not None
    made: defaultdict[int | None, list[float]] = defaultdict(list)
    for pod in sorted(pods, key=lambda pod: pod.created):
        made[pod.index if each else None].append(pod.created)
    for suffix, attempt, pod in failed:
        time, times = pod.ended_at, made[pod.index if each else None]
        others_since = len(times) - bisect_left(times, time) - (pod.created >= time)
        if goes_on or others_since:
            index = {} if pod.index is None else {"index": pod.index}
            detail = {"attempt": attempt, **index, "error": failure(pod).error}
            yield Transition(phase=Phase.RETRYING, suffix=suffix, time=time, detail=detail)


def _within_limits(job: Job, pods: Sequence[Pod]) -> Iterator[tuple[str, int, Pod]]:
    """(suffix, attempt, pod) of the failed pods within the limit: the Job's, or that of each index where it has one."""
    failed = failed_pods(job, pods)
    if job.backoff_limit_per_index is None:
        yield from ((str(attempt), attempt, pod) for attempt, pod in enumerate(failed[: job.backoff_limit], start=1))
        return
    counts: Counter[int] = Counter()
    for pod in failed:
        index = pod.index or 0
        counts[index] += 1
        if counts[index] <= job.backoff_limit_per_index:
            yield f"{index}.{counts[index]}", counts[index], pod


def _progress(job: Job, pods: Sequence[Pod], usage: Usage | None) -> Iterator[Transition]:
    """Only the latest counts and the latest sample: what came between two looks is not told."""
    if is_ending(job):
        return
    found = counts(job)
    if found is not None:
        time, suffix = counted_at(job, pods), f"{job.succeeded}.{job.failed}"
        detail = {"attempt": attempt_at(job, pods, time), **found}
        yield Transition(phase=Phase.PROGRESS, suffix=suffix, time=time, detail=detail)
    if usage is not None:
        detail = {"attempt": attempt_at(job, pods, usage.at), **usage_now(usage)}
        yield Transition(phase=Phase.PROGRESS, suffix=format_epoch(usage.at), time=usage.at, detail=detail)


def _end(job: Job, pods: Sequence[Pod], usage: Usage | None, log: str | None) -> Iterator[Transition]:
    end, again = outcome(job), next_attempt_at(job)
    if end is None:
        return
    if again is not None:
        error = outcome_detail(job, pods, end, log=log)["error"]
        detail = {"attempt": job.attempt, "error": error, "nextAttemptAt": written_time(again)}
        yield Transition(phase=Phase.RETRYING, suffix=str(job.attempt), time=end.time, detail=detail)
    else:
        used = {} if usage is None else {"usage": usage_summary(usage)}
        yield Transition(phase=end.phase, time=end.time, detail=outcome_detail(job, pods, end, log=log) | used)


def attempt_at(job: Job, pods: Sequence[Pod], time: float) -> int:
    """The number, from 1, of the attempt at this time."""
    return job.attempt + sum(pod.ended_at < time for pod in failed_pods(job, pods))
