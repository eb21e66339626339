"""From a request to the Job that runs it, and the Secret that carries a large event. Pure: sends and reads nothing."""

import base64
from collections.abc import Mapping

from msgspec import Struct

from events.cloudevent.event import encode_structured
from events.functions.functions import Asked
from events.identity import request_label, request_sha
from events.jobs.context import context_annotation
from events.jobs.queueing import Queueing
from events.names import (
    BY_FUNCTION,
    FINALIZER,
    FORMAT_VERSION,
    MANAGED_BY,
    QUEUED_AT_CREATION,
    Annotation,
    Label,
    Payload,
)
from events.request.request import Request
from k8s.base import Manifest
from k8s.kueue import gate, in_kueue
from k8s.manifests import mapping
from k8s.manifests.options import ManifestOptions
from k8s.manifests.pod import EVENT_FILE, payload_name, payload_names, payload_of, pod_template
from k8s.reading.quantity import parse

MAX_EVENT_BYTES = 1 << 20
"""The most that a Secret can hold (Kubernetes' `MaxSecretSize`)."""


class Rendered(Struct, frozen=True, kw_only=True):
    """A Job, and the event that its containers get. `inline`: the event is on the Job; else see `secret_for`.

    `scheduled`: `job` is a CronJob, whose Jobs run the request. `ttl`: in force, seconds; `ttl_raised`: the request
    asked for less.

    A Job without its event is suspended, and pending until its Secret exists. A Job that waits for admission, ours or
    Kueue's, is suspended too.
    """

    job: Manifest
    event: bytes
    inline: bool
    ttl: int
    ttl_raised: bool
    queueing: Queueing
    scheduled: bool = False

    @property
    def kueue(self) -> bool:
        """Whether Kueue decides when it runs."""
        return in_kueue(self.job["metadata"]["labels"])


class Draft(Struct, frozen=True, kw_only=True):
    """The part of a Job that differs between requests and functions; `complete` adds the rest.

    `event`: structured, with its own trace, whatever `trace` is. `ttl`: what was asked for, seconds. `kueue_queue`:
    None is the installation's.
    """

    asked: Asked
    event: bytes
    inline: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Manifest
    ttl: int | None
    queueing: Queueing
    kueue_queue: str | None = None
    trace: Mapping[str, str] | None = None


def render(
    request: Request, *, options: ManifestOptions, reply_to: str | None = None, trace: Mapping[str, str] | None = None
) -> Rendered:
    """The Job of this request; a pure function.

    `reply_to`: topic of its lifecycle events; None is the default topic. `trace`: trace context for the container and
    the lifecycle events; None is the event's own.
    """
    event, asked = encode_structured(request.event), request.request
    # A schedule's event is on each of its Jobs: nobody would create a Secret for each.
    inline = asked.schedule is not None or fits(event, options, pods=asked.job.parallelism, payload=asked.payload)
    labels = {**mapping.labels(asked, options), **our_labels(request, options.instance)}
    template = pod_template(request, options, labels=labels, event=event.decode() if inline else None, trace=trace)
    spec = {**mapping.job_fields(asked, options), "template": template}
    draft = Draft(
        asked=request,
        event=event,
        inline=inline,
        labels=labels,
        annotations=mapping.annotations(asked, options),
        spec=spec,
        ttl=asked.job.ttl_seconds_after_finished,
        queueing=asked.queueing(gpus=gpus_of(spec, options.gpu_resource), run_at=asked.run_at),
        trace=trace,
    )
    return complete(draft, options, reply_to=reply_to)


def complete(draft: Draft, options: ManifestOptions, *, reply_to: str | None) -> Rendered:
    """The Job: adds how it is found, how it is queued, and what happens once it ends."""
    asked, inline, suspended = draft.asked, draft.inline, bool(draft.spec.get("suspend"))
    ttl, raised = effective_ttl(draft.ttl, options)
    labels = options.kueue.labels(draft.labels, priority=draft.queueing.priority, queue=draft.kueue_queue)
    kueue = in_kueue(labels)
    governed = not suspended and not kueue and options.governs(draft.queueing, asked.service)
    annotations = {
        **draft.annotations,
        **origin(asked, options, draft.trace),
        **outcome_annotations(ttl=ttl, reply_to=reply_to, inline=inline),
        **queue_place(draft.queueing, governed=governed),
        **gate(labels, inline=inline),
    }
    if suspended:
        annotations[Annotation.SUSPENDED_BY] = BY_FUNCTION
    # Until its payload exists, or until it is admitted.
    waits = {"suspend": True} if not inline or governed or kueue else {}
    metadata: Manifest = {
        "name": asked.job_name,
        "namespace": asked.namespace or options.namespace,
        "labels": labels,
        "annotations": annotations,
        "finalizers": [FINALIZER],
    }
    template = draft.spec["template"]["metadata"]
    template["annotations"] = {**template.get("annotations", {}), **made_for(metadata)}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**draft.spec, **waits}}
    return Rendered(job=job, event=draft.event, inline=inline, ttl=ttl, ttl_raised=raised, queueing=draft.queueing)


def made_for(metadata: Manifest) -> dict[str, str]:
    """Annotations of the pod template of a Job or CronJob with this metadata.

    They tell it from its copies, and what it is from what somebody makes of its own annotations.
    """
    notes = metadata["annotations"]
    return {
        Annotation.JOB: f"{metadata['namespace']}/{metadata['name']}",
        Annotation.ID: notes[Annotation.ID],
        Annotation.SOURCE: notes[Annotation.SOURCE],
    }


def fits(event: bytes, options: ManifestOptions, *, pods: int, payload: str | None) -> bool:
    """Whether the event goes on the Job itself. Each of its pods repeats it, and all who may read pods can read it."""
    return payload is None and pods == 1 and len(event) <= options.inline_bytes


def effective_ttl(asked: int | None, options: ManifestOptions) -> tuple[int, bool]:
    """The TTL in force, in seconds, and whether less was asked for."""
    ttl = max(options.default_ttl if asked is None else asked, options.min_ttl)
    return ttl, asked is not None and asked < ttl


def gpus_of(job_spec: Manifest, resource: str) -> int:
    """How many GPUs all the pods take that run at the same time."""
    found = 0
    for container in job_spec["template"]["spec"]["containers"]:
        limits = (container.get("resources") or {}).get("limits")
        if limits and resource in limits:
            found += _whole(limits[resource])
    return found * int(job_spec.get("parallelism", 1))


def _whole(amount: object) -> int:
    """The amount; 0 if it is no quantity: the API server refuses such a Job."""
    try:
        return int(parse(str(amount or 0)))
    except ValueError:
        return 0


def queue_place(queueing: Queueing, *, governed: bool) -> dict[str, str]:
    """Annotations about the queue: what was asked for, and that the Job waits in it."""
    asked = queueing.to_annotation()
    stored: dict[str, str] = {} if asked is None else {Annotation.QUEUEING: asked}
    return {**stored, Annotation.QUEUED: QUEUED_AT_CREATION} if governed else stored


def secret_for(rendered: Rendered, job: Manifest) -> Manifest:
    """The Secret with the event for `job`, which exists and is of this name and request. It is deleted with it.

    It also serves a Job that would be rendered `inline` now: a handler with other settings, or of an earlier version,
    may have created the Job.
    """
    made = job["metadata"]
    name, wanted = made["name"], payload_of(job)
    metadata = {
        "name": wanted if wanted in payload_names(name) else payload_name(name),
        "namespace": made["namespace"],
        "labels": rendered.job["metadata"]["labels"],
    }
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["uid"], "controller": False}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {**metadata, "ownerReferences": [owner]},
        "data": {EVENT_FILE: base64.b64encode(rendered.event).decode()},
    }


def our_labels(asked: Asked, instance: str) -> dict[str, str]:
    """Labels by which the Job and its Pods are found."""
    return {
        Label.MANAGED_BY: MANAGED_BY,
        Label.INSTANCE: instance,
        Label.REQUEST: request_label(asked.id),
    }


def origin(asked: Asked, options: ManifestOptions, trace: Mapping[str, str] | None) -> dict[str, str]:
    """Annotations about the request, and the event that asked for it. `trace`: that of `render`."""
    return {
        Annotation.VERSION: str(FORMAT_VERSION),
        Annotation.ID: asked.id,
        Annotation.SOURCE: asked.identity.source,
        Annotation.REQUEST_SHA: request_sha(asked.event),
        Annotation.CONTEXT: context_annotation(asked.event, trace),
        Annotation.BROKER: options.broker,
    }


def outcome_annotations(*, ttl: int, reply_to: str | None, inline: bool) -> dict[str, str]:
    """Annotations about what the Job waits for, and what happens once it ends."""
    annotations: dict[str, str] = {Annotation.TTL: str(ttl)}
    if reply_to:
        annotations[Annotation.REPLY_TO] = reply_to
    if not inline:
        annotations[Annotation.PAYLOAD] = Payload.PENDING
    return annotations
