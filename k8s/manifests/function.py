"""From a function's request to its Job: the operator's manifest, and what we have to add. Pure.

Of what the operator wrote, only `ttlSecondsAfterFinished` changes: we set it once the terminal event is published.
"""

from collections.abc import Mapping
from typing import Any

from events.cloudevent.event import encode_structured
from events.functions.functions import Call
from events.names import MANAGED_BY, Annotation, Label
from k8s.base import Manifest
from k8s.manifests.job import Draft, Rendered, complete, fits, gpus_of, our_labels
from k8s.manifests.mapping import as_json, service_labels
from k8s.manifests.options import ManifestOptions
from k8s.manifests.pod import EVENT_MOUNT, RESULT_PATH, event_volume, our_env
from k8s.reading.pod import DEFAULT_CONTAINER, MAIN


def render_call(
    call: Call, *, options: ManifestOptions, reply_to: str | None = None, trace: Mapping[str, str] | None = None
) -> Rendered:
    """The Job of this request; a pure function. The arguments are those of `render`."""
    event, function = encode_structured(call.event), call.function
    job: Manifest = _without_nulls(function.job)
    spec, given = job["spec"], job.get("metadata", {})
    ttl = spec.pop("ttlSecondsAfterFinished", None)
    inline = fits(event, options, pods=spec.get("parallelism", 1), payload=function.payload)
    named = service_labels(function.name if options.app_label else function.service, options)
    ours = our_labels(call, options.instance)
    text = event.decode() if inline else None
    _fill_template(spec["template"], call, labels={**named, **ours}, event=text, trace=trace)
    draft = Draft(
        asked=call,
        event=event,
        inline=inline,
        labels={**named, **given.get("labels", {}), **ours},
        annotations={**given.get("annotations", {}), **_annotations(call, options)},
        spec=spec,
        ttl=ttl,
        queueing=call.queue.queueing(gpus=gpus_of(spec, options.gpu_resource)),
        kueue_queue=function.queue_name,
        trace=trace,
    )
    return complete(draft, options, reply_to=reply_to)


def _annotations(call: Call, options: ManifestOptions) -> dict[str, str]:
    """The same as a request's: it is followed in the same way."""
    function = call.function
    fields = {
        Annotation.START_TIMEOUT: str(function.start_timeout or options.default_start_timeout),
        Annotation.TIMEOUT: None if function.timeout is None else str(function.timeout),
        Annotation.TAGS: as_json(call.tags),
        Annotation.METADATA: as_json(call.metadata),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _fill_template(
    template: Manifest, call: Call, *, labels: Mapping[str, str], event: str | None, trace: Mapping[str, str] | None
) -> None:
    """Add labels, the event and what containers need. `event`: None if it is in a Secret."""
    metadata = template.setdefault("metadata", {})
    # Charts say that they manage it: then it would not be found among our pods.
    metadata["labels"] = {**labels, **metadata.get("labels", {}), Label.MANAGED_BY: MANAGED_BY}
    pod = template["spec"]
    pod.setdefault("restartPolicy", "Never")
    if "serviceAccountName" not in pod and "serviceAccount" not in pod:
        # Nobody asked for the token of the default service account.
        pod.setdefault("automountServiceAccountToken", False)
    pod["volumes"] = [*pod.get("volumes", ()), event_volume(call.job_name, inline=event is not None)]
    containers = pod["containers"]
    for container in (*containers, *pod.get("initContainers", ())):
        _fill_container(container, call, trace)
    notes = metadata.get("annotations", {})
    if len(containers) > 1 and not any(container["name"] == MAIN for container in containers):
        # Kubernetes reports containers in any order: this says whose result and log count.
        notes = {DEFAULT_CONTAINER: containers[0]["name"], **notes}
    if event is not None:
        notes = {**notes, Annotation.EVENT: event}
    if notes:
        metadata["annotations"] = notes


def _fill_container(container: Manifest, call: Call, trace: Mapping[str, str] | None) -> None:
    own = container.get("env", [])
    set_by_operator = {variable["name"] for variable in own}
    result_path: str = container.get("terminationMessagePath", RESULT_PATH)
    ours = {variable["name"]: variable["value"] for variable in our_env(call, trace, result_path=result_path)}
    # Ours come first: the operator's may refer to them, such as $(IMAGE_URL).
    added = {name: value for name, value in {**ours, **call.env}.items() if name not in set_by_operator}
    container["env"] = [*({"name": name, "value": value} for name, value in added.items()), *own]
    container["volumeMounts"] = [*container.get("volumeMounts", ()), dict(EVENT_MOUNT)]
    container.setdefault("terminationMessagePath", result_path)
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")


def _without_nulls(value: Any) -> Any:
    """A copy without fields that are null, which is how a server reads it. Empty lists and objects stay."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
