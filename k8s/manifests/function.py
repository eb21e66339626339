"""From a function's request to its Job: the operator's manifest, and what we have to add to it. Pure.

Nothing that the operator wrote is changed but `ttlSecondsAfterFinished`, which is ours to set once the end was told.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from events.cloudevent.event import encode_structured
from events.functions.functions import Call
from events.jobs.context import in_trace
from events.names import Annotation, Label
from k8s.base import Manifest
from k8s.manifests.job import Draft, Rendered, complete, fits, gpus_of, our_labels
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
    function = call.function
    job: Manifest = _without_nulls(function.job)
    spec, given = job["spec"], job.get("metadata", {})
    ttl = spec.pop("ttlSecondsAfterFinished", None)
    inline = fits(event, options, pods=spec.get("parallelism", 1), payload=function.payload)
    named = {Label.NAME: function.name, Label.APP: function.name}
    ours = our_labels(call, options.instance)
    _fill_template(spec["template"], call, labels={**named, **ours}, event=event.decode() if inline else None)
    start_timeout = {Annotation.START_TIMEOUT: str(options.default_start_timeout)}
    draft = Draft(
        asked=call,
        event=event,
        inline=inline,
        labels={**named, **given.get("labels", {}), **ours},
        annotations={**given.get("annotations", {}), **start_timeout},
        spec=spec,
        ttl=ttl,
        queueing=call.queue.queueing(gpus=gpus_of(spec, options.gpu_resource)),
        kueue_queue=function.queue_name,
    )
    return complete(draft, options, reply_to=reply_to)


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
    if len(containers) > 1 and not any(container["name"] == MAIN for container in containers):
        # Statuses come in no order of ours: this says whose result and log count.
        notes = {DEFAULT_CONTAINER: containers[0]["name"], **notes}
    if event is not None:
        notes = {**notes, Annotation.EVENT: event}
    if notes:
        metadata["annotations"] = notes


def _fill_container(container: Manifest, call: Call) -> None:
    own = container.get("env", [])
    set_by_operator = {variable["name"] for variable in own}
    result_path: str = container.get("terminationMessagePath", RESULT_PATH)
    ours = {variable["name"]: variable["value"] for variable in our_env(call, result_path=result_path)}
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
