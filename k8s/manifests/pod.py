"""The pod template of a request: what it asks for (mapping.py), and what every pod gets from jobrelay."""

from collections.abc import Mapping

from cloudevents.core.v1.event import CloudEvent

from events.functions.functions import Asked
from events.names import Annotation
from events.request.request import Request
from k8s.base import Manifest
from k8s.manifests.mapping import container_fields, pod_annotations, pod_fields
from k8s.manifests.options import ManifestOptions
from k8s.reading.pod import MAIN

EVENT_DIRECTORY = "/var/run/jobrelay"
EVENT_FILE = "event.json"
EVENT_PATH = f"{EVENT_DIRECTORY}/{EVENT_FILE}"
RESULT_PATH = "/dev/termination-log"
EVENT_VOLUME = "jobrelay-event"
EVENT_MOUNT = {"name": EVENT_VOLUME, "mountPath": EVENT_DIRECTORY, "readOnly": True}


def pod_template(
    request: Request, options: ManifestOptions, *, labels: Mapping[str, str], event: str | None
) -> Manifest:
    """A Job's `spec.template`. `labels`: of its pods. `event`: becomes an annotation; None if it is in a Secret."""
    asked = request.request.job
    metadata: Manifest = {"labels": dict(labels)}
    annotations = {**pod_annotations(asked), **({} if event is None else {Annotation.EVENT: event})}
    if annotations:
        metadata["annotations"] = annotations
    pod = pod_fields(asked, options, labels=labels)
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [_container(request, options)],
        **pod,
        "volumes": [event_volume(request.job_name, inline=event is not None), *pod["volumes"]],
    }
    return {"metadata": metadata, "spec": spec}


def event_volume(job_name: str, *, inline: bool) -> Manifest:
    """The volume with the event: from an annotation of the pod, or from the Job's Secret."""
    if inline:
        path = {"fieldPath": f"metadata.annotations['{Annotation.EVENT}']"}
        return {"name": EVENT_VOLUME, "downwardAPI": {"items": [{"path": EVENT_FILE, "fieldRef": path}]}}
    return {"name": EVENT_VOLUME, "secret": {"secretName": job_name}}


def _container(request: Request, options: ManifestOptions) -> Manifest:
    asked = container_fields(request.request.job, options)
    return {
        "name": MAIN,
        "terminationMessagePath": RESULT_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **asked,
        "env": [*our_env(request), *asked["env"]],
        "volumeMounts": [EVENT_MOUNT, *asked["volumeMounts"]],
    }


def our_env(asked: Asked, *, result_path: str = RESULT_PATH) -> list[dict[str, str]]:
    """Variables that every container gets from us. `result_path`: its termination message file."""
    event: CloudEvent = asked.event
    found = {
        "CE_ID": event.get_id(),
        "CE_SOURCE": event.get_source(),
        "CE_TYPE": event.get_type(),
        "CE_SUBJECT": event.get_subject(),
        "TRACEPARENT": event.get_extension("traceparent"),
        "JOBRELAY_JOB_ID": asked.id,
    }
    # Kubernetes expands $(NAME) in values; an event's text must stay literal.
    ours = {name: str(value).replace("$", "$$") for name, value in found.items() if value is not None}
    return [
        {"name": name, "value": value}
        for name, value in {**ours, "JOBRELAY_EVENT_PATH": EVENT_PATH, "JOBRELAY_RESULT_PATH": result_path}.items()
    ]
