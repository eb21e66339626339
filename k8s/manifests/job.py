"""From a request to the Job that runs it, and the Secret that carries a large event. Pure: sends and reads nothing."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from events.cloudevent.event import encode_structured
from events.functions.functions import Asked
from events.identity import request_label, request_sha
from events.jobs.context import context_annotation, in_trace
from events.jobs.queueing import Queueing
from events.names import (
    DEFAULT_INSTANCE,
    FINALIZER,
    FORMAT_VERSION,
    MANAGED_BY,
    QUEUED_AT_CREATION,
    Annotation,
    Label,
    Payload,
)
from events.request.job import JobSpec
from events.request.request import Request
from k8s.base import Manifest
from k8s.kueue import KueueOptions, gate, in_kueue
from k8s.manifests.pod import EVENT_FILE, PodOptions, as_json, pod_spec
from k8s.reading.quantity import parse

MAX_EVENT_BYTES = 1 << 20
"""What a Secret holds (Kubernetes' `MaxSecretSize`)."""


def ungoverned(queueing: Queueing, service: str | None) -> bool:
    """Nothing waits for admission."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOptions(PodOptions):
    """The installation's part of every Job. Seconds and bytes.

    `namespace`: of requests that name none. `inline_bytes`: the largest event on the Job itself. `min_ttl`: a smaller
    TTL is raised to it, so that a repeat still meets its Job. `default_deadline`: None is none. `governs`: whether a
    Job of this queueing and service waits for admission, unless it is Kueue's.
    """

    instance: str = DEFAULT_INSTANCE
    namespace: str
    broker: str
    inline_bytes: int = 16384
    min_ttl: int = 3600
    default_ttl: int = 3600
    default_start_timeout: int = 600
    default_deadline: int | None = None
    governs: Callable[[Queueing, str | None], bool] = ungoverned
    kueue: KueueOptions = field(default_factory=KueueOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A Job, and its event as the container gets it: `inline` on the Job, else in a Secret, see `secret_for`.

    Of a request with a schedule, `job` is a CronJob.

    A Job whose event is not on it is suspended and pending until the Secret is there; one that waits for admission, of
    ours or of Kueue, is suspended too. `ttl` is the wanted one, `ttl_raised` when the request asked for less.
    """

    job: Manifest
    event: bytes
    inline: bool
    ttl: int
    ttl_raised: bool
    queueing: Queueing

    @property
    def kueue(self) -> bool:
        """Kueue decides when it runs."""
        return in_kueue(self.job["metadata"]["labels"])


def render(
    request: Request, *, options: ManifestOptions, reply_to: str | None = None, trace: Mapping[str, str] | None = None
) -> Rendered:
    """The Job of this request, the same for the same arguments.

    `reply_to`: topic of its lifecycle events, if not the default one. `trace`: the trace context that container and
    lifecycle events get, if not the event's own.
    """
    event = encode_structured(request.event)  # as it came
    if trace is not None:
        request = replace(request, event=in_trace(request.event, trace))
    spec = request.request.job
    # A schedule's event goes with each of its Jobs: there is nobody to bring every one a Secret.
    inline = request.request.schedule is not None or fits(
        event, options, pods=spec.parallelism, payload=request.request.payload
    )
    ttl, raised = lasting(spec.ttl_seconds_after_finished, options)
    labels = _labels(request, options.instance)
    job_spec = _job_spec(request, options, labels=labels, inline=event.decode() if inline else None)
    queueing = request.request.queueing(gpus=gpus_of(job_spec, options.gpu_resource), run_at=request.request.run_at)
    labels = options.kueue.labels(labels, priority=queueing.priority)
    place = queue_place(queueing, governed=not in_kueue(labels) and options.governs(queueing, request.service))
    annotations = _annotations(request, options) | fate(ttl=ttl, reply_to=reply_to, inline=inline) | place
    annotations |= gate(labels, inline=inline)
    if is_held(labels, annotations, inline=inline):
        job_spec["suspend"] = True
    metadata = {"name": request.job_name, "namespace": spec.namespace or options.namespace, "labels": labels}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "annotations": annotations, "finalizers": [FINALIZER]},
        "spec": job_spec,
    }
    return Rendered(
        job=job,
        event=event,
        inline=inline,
        ttl=ttl,
        ttl_raised=raised,
        queueing=queueing,
    )


def fits(event: bytes, options: ManifestOptions, *, pods: int, payload: str | None) -> bool:
    """Whether the event travels on the Job itself. Each of its pods would repeat it there, for all who may see pods."""
    return payload is None and pods == 1 and len(event) <= options.inline_bytes


def lasting(asked: int | None, options: ManifestOptions) -> tuple[int, bool]:
    """The TTL in force, and whether less was asked for."""
    ttl = max(options.default_ttl if asked is None else asked, options.min_ttl)
    return ttl, asked is not None and asked < ttl


def gpus_of(job_spec: Manifest, resource: str) -> int:
    """GPUs that all its pods take which run at a time."""
    containers = job_spec["template"]["spec"]["containers"]
    limits = [(one.get("resources") or {}).get("limits") or {} for one in containers]
    return sum(_whole(one[resource]) for one in limits if resource in one) * int(job_spec.get("parallelism", 1))


def _whole(amount: object) -> int:
    """0 for what is no quantity: the API server refuses such a Job."""
    try:
        return int(parse(str(amount or 0)))
    except ValueError:
        return 0


def queue_place(queueing: Queueing, *, governed: bool) -> dict[str, str]:
    """Annotations: what is asked of the queue, and that it is in it."""
    asked = queueing.to_annotation()
    stored: dict[str, str] = {} if asked is None else {Annotation.QUEUEING: asked}
    return {**stored, Annotation.QUEUED: QUEUED_AT_CREATION} if governed else stored


def is_held(labels: Mapping[str, str], annotations: Mapping[str, str], *, inline: bool) -> bool:
    """Whether it is created suspended: until its payload is there, or until it is admitted."""
    return not inline or Annotation.QUEUED in annotations or in_kueue(labels)


def secret_for(rendered: Rendered, job_uid: str) -> Manifest:
    """The Secret that brings a Job of this name and request its event, owned by that Job, so that it goes with it.

    Also for a Job that would be rendered `inline` now: it may be another handler's, with other settings.
    """
    metadata = {name: rendered.job["metadata"][name] for name in ("name", "namespace", "labels")}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": job_uid, "controller": False}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {**metadata, "ownerReferences": [owner]},
        "data": {EVENT_FILE: base64.b64encode(rendered.event).decode()},
    }


def our_labels(asked: Asked, instance: str) -> dict[str, str]:
    """By which Job and Pods are found."""
    return {
        Label.MANAGED_BY: MANAGED_BY,
        Label.INSTANCE: instance,
        Label.REQUEST: request_label(asked.id),
    }


def origin(asked: Asked, options: ManifestOptions) -> dict[str, str]:
    """Annotations: which request it is, and which event asked for it."""
    return {
        Annotation.VERSION: str(FORMAT_VERSION),
        Annotation.ID: asked.id,
        Annotation.SOURCE: asked.identity.source,
        Annotation.REQUEST_SHA: request_sha(asked.event),
        Annotation.CONTEXT: context_annotation(asked.event),
        Annotation.BROKER: options.broker,
    }


def fate(*, ttl: int, reply_to: str | None, inline: bool) -> dict[str, str]:
    """Annotations: what is to become of it."""
    annotations: dict[str, str] = {Annotation.TTL: str(ttl)}
    if reply_to:
        annotations[Annotation.REPLY_TO] = reply_to
    if not inline:
        annotations[Annotation.PAYLOAD] = Payload.PENDING
    return annotations


def _labels(request: Request, instance: str) -> dict[str, str]:
    labels = {**(request.request.job.labels or {}), **our_labels(request, instance)}
    if request.service:
        labels |= {Label.NAME: request.service, Label.APP: request.service}
    return labels


def _annotations(request: Request, options: ManifestOptions) -> dict[str, str]:
    asked = request.request
    annotations: dict[str, str] = {
        **(asked.job.annotations or {}),
        **origin(request, options),
        Annotation.START_TIMEOUT: str(asked.start_timeout or options.default_start_timeout),
    }
    if asked.timeout is not None:
        annotations[Annotation.TIMEOUT] = str(asked.timeout)
    if asked.retry is not None:
        annotations[Annotation.RETRY] = asked.retry.to_annotation()
    if asked.failover is not None:
        annotations[Annotation.FAILOVER] = asked.failover.job.model_dump_json(by_alias=True, exclude_unset=True)
    for name, value in ((Annotation.TAGS, asked.tags), (Annotation.METADATA, asked.metadata)):
        if value is not None:
            annotations[name] = orjson.dumps(value).decode()
    return annotations


def _job_spec(request: Request, options: ManifestOptions, *, labels: Mapping[str, str], inline: str | None) -> Manifest:
    asked = request.request.job
    metadata: Manifest = {"labels": dict(labels)}
    annotations = {**(asked.annotations or {}), **({} if inline is None else {Annotation.EVENT: inline})}
    if annotations:
        metadata["annotations"] = annotations
    pod = pod_spec(request, options, labels=labels, inline=inline is not None)
    deadline = asked.active_deadline_seconds or options.default_deadline
    fields = {
        "backoffLimit": request.request.backoff_limit,
        "parallelism": asked.parallelism,
        "completions": _completions(asked),
        "activeDeadlineSeconds": deadline,
        **_batch(asked),
    }
    return {
        **{name: value for name, value in fields.items() if value is not None},
        "template": {"metadata": metadata, "spec": pod},
    }


def _completions(asked: JobSpec) -> int | None:
    """As batch/v1 has it: one pod of one by default; several without a number share a queue of their own."""
    return asked.completions or (1 if asked.parallelism == 1 else None)


def _batch(asked: JobSpec) -> Manifest:
    """What only Jobs of several pods have."""
    policies = {"successPolicy": asked.success_policy, "podFailurePolicy": asked.pod_failure_policy}
    return {
        "completionMode": asked.completion_mode,
        "backoffLimitPerIndex": asked.backoff_limit_per_index,
        "maxFailedIndexes": asked.max_failed_indexes,
        "podReplacementPolicy": asked.pod_replacement_policy,
        **{name: as_json(policy) for name, policy in policies.items() if policy is not None},
    }
