"""From a function's request to its Job: the operator's manifest, and what we have to add to it. Pure.

Nothing that the operator wrote is changed but `ttlSecondsAfterFinished`, which is ours to set once the end was told.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from events.cloudevent.event import encode_structured
from events.functions.functions import Call
from events.jobs.context import in_trace
from events.names import BY_FUNCTION, FINALIZER, Annotation, Label
from k8s.base import Manifest
from k8s.kueue import gate, in_kueue
from k8s.manifests.job import (
    Rendered,
    fate,
    fits,
    gpus_of,
    is_held,
    lasting,
    origin,
    our_labels,
    queue_place,
)
from k8s.manifests.options import ManifestOptions
from k8s.manifests.pod import EVENT_MOUNT, RESULT_PATH, event_volume, our_env
from k8s.reading.job import DEFAULT_CONTAINER, MAIN


def render_call(
    call: Call, *, options: ManifestOptions, reply_to: str | None = None, trace: Mapping[str, str] | None = None
) -> Rendered:
    """The Job of this request, the same for the same arguments, which are those of `render`."""
    event = encode_structured(call.event)  # as it came
    if trace is not None:
        call = replace(call, event=in_trace(call.event, trace))
    job: Manifest = _without_nulls(call.function.job)
    spec = job["spec"]
    inline = fits(event, options, pods=spec.get("parallelism", 1), payload=call.function.payload)
    ttl, raised = lasting(spec.pop("ttlSecondsAfterFinished", None), options)
    named = {Label.NAME: call.function.name, Label.APP: call.function.name}
    ours = our_labels(call, options.instance)
    given = job.pop("metadata", {})
    annotations = {
        **given.get("annotations", {}),
        **origin(call, options),
        **fate(ttl=ttl, reply_to=reply_to, inline=inline),
        Annotation.START_TIMEOUT: str(options.default_start_timeout),
    }
    queueing = call.queue.queueing(gpus=gpus_of(spec, options.gpu_resource))
    held = bool(spec.get("suspend"))
    if held:
        annotations[Annotation.SUSPENDED_BY] = BY_FUNCTION
    labels = options.kueue.labels(
        {**named, **given.get("labels", {}), **ours}, priority=queueing.priority, queue=call.function.queue_name
    )
    governed = not held and not in_kueue(labels) and options.governs(queueing, call.service)
    annotations |= queue_place(queueing, governed=governed) | gate(labels, inline=inline)
    if is_held(labels, annotations, inline=inline):
        spec["suspend"] = True
    metadata = {
        "name": call.job_name,
        "namespace": given.get("namespace") or options.namespace,
        "labels": labels,
        "annotations": annotations,
        "finalizers": [FINALIZER],
    }
    _fill_template(spec["template"], call, labels={**named, **ours}, event=event.decode() if inline else None)
    return Rendered(
        job={**job, "metadata": metadata},
        event=event,
        inline=inline,
        ttl=ttl,
        ttl_raised=raised,
        queueing=queueing,
    )


def _fill_template(template: Manifest, call: Call, *, labels: Mapping[str, str], event: str | None) -> None:
    """Add labels, the event and what containers need. `event`: None if it comes in a Secret."""
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**labels, **metadata.get("labels", {})}
    pod = template["spec"]
    pod.setdefault("restartPolicy", "Never")
    if "serviceAccountName" not in pod and "serviceAccount" not in pod:
        # Nobody asked for the default account's token.
        pod.setdefault("automountServiceAccountToken", False)
    pod["volumes"] = [*pod.get("volumes", ()), event_volume(call.job_name, inline=event is not None)]
    containers = pod["containers"]
    for container in (*containers, *pod.get("initContainers", ())):
        _fill_container(container, call)
    notes = metadata.get("annotations", {})
    if len(containers) > 1 and not any(one["name"] == MAIN for one in containers):
        # Statuses come in no order of ours: this says whose result and log count.
        notes = {DEFAULT_CONTAINER: containers[0]["name"], **notes}
    if event is not None:
        notes = {**notes, Annotation.EVENT: event}
    if notes:
        metadata["annotations"] = notes


def _fill_container(container: Manifest, call: Call) -> None:
    own = container.get("env", [])
    set_by_operator = {one["name"] for one in own}
    result_path: str = container.get("terminationMessagePath", RESULT_PATH)
    ours = {one["name"]: one["value"] for one in our_env(call, result_path=result_path)}
    # Before the operator's, which may refer to them: $(IMAGE_URL).
    added = {name: value for name, value in {**ours, **call.env}.items() if name not in set_by_operator}
    container["env"] = [*({"name": name, "value": value} for name, value in added.items()), *own]
    container["volumeMounts"] = [*container.get("volumeMounts", ()), dict(EVENT_MOUNT)]
    container.setdefault("terminationMessagePath", result_path)
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")


def _without_nulls(value: Any) -> Any:
    """A copy as a server reads it: a field that is null is absent. An empty list or object stays."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
