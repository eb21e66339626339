"""The pod template of a request: what it asks for (mapping.py), and what every pod gets from jobrelay."""

from collections.abc import Mapping

from events.functions.functions import Asked
from events.jobs.context import attributes_in_trace
from events.names import PAYLOAD_PREFIX, Annotation
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
    request: Request,
    options: ManifestOptions,
    *,
    labels: Mapping[str, str],
    event: str | None,
    trace: Mapping[str, str] | None,
) -> Manifest:
    """A Job's `spec.template`. `labels`: of its pods. `event`: becomes an annotation; None if it is in a Secret.

    `trace`: see `our_env`.
    """
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
        "containers": [_container(request, options, trace)],
        **pod,
        "volumes": [event_volume(request.job_name, inline=event is not None), *pod["volumes"]],
    }
    return {"metadata": metadata, "spec": spec}


def event_volume(job_name: str, *, inline: bool) -> Manifest:
    """The volume with the event: from an annotation of the pod, or from the Job's Secret."""
    if inline:
        path = {"fieldPath": f"metadata.annotations['{Annotation.EVENT}']"}
        return {"name": EVENT_VOLUME, "downwardAPI": {"items": [{"path": EVENT_FILE, "fieldRef": path}]}}
    return {"name": EVENT_VOLUME, "secret": {"secretName": payload_name(job_name)}}


def payload_name(job_name: str) -> str:
    """Name of the Secret with the event of this Job."""
    return f"{PAYLOAD_PREFIX}{job_name}"


def payload_names(job_name: str) -> tuple[str, str]:
    """The names that a Job's Secret may have: ours, and that of earlier versions."""
    return payload_name(job_name), job_name


def is_owned_by(secret: Manifest, job_uid: str) -> bool:
    """Whether it is of the Job of this uid, and not of a former one that had its name."""
    return any(owner["uid"] == job_uid for owner in secret["metadata"].get("ownerReferences") or ())


def payload_of(job: Manifest) -> str | None:
    """Name of the Secret that its pods get the event from; None if the event is on the Job itself."""
    volumes = job["spec"]["template"]["spec"].get("volumes") or ()
    secret = next((volume.get("secret") for volume in volumes if volume["name"] == EVENT_VOLUME), None)
    name = secret.get("secretName") if isinstance(secret, dict) else None
    return None if name is None else str(name)


def _container(request: Request, options: ManifestOptions, trace: Mapping[str, str] | None) -> Manifest:
    asked = container_fields(request.request.job, options)
    return {
        "name": MAIN,
        "terminationMessagePath": RESULT_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **asked,
        "env": [*our_env(request, trace), *asked["env"]],
        "volumeMounts": [dict(EVENT_MOUNT), *asked["volumeMounts"]],
    }


def our_env(asked: Asked, trace: Mapping[str, str] | None, *, result_path: str = RESULT_PATH) -> list[dict[str, str]]:
    """Variables that every container gets from us. `result_path`: its termination message file.

    `trace`: trace context in place of the event's own; None is the event's own.
    """
    attributes = attributes_in_trace(asked.event, trace)
    said = (
        ("CE_ID", attributes["id"]),
        ("CE_SOURCE", attributes["source"]),
        ("CE_TYPE", attributes["type"]),
        ("CE_SUBJECT", attributes.get("subject")),
        ("TRACEPARENT", attributes.get("traceparent")),
        ("JOBRELAY_JOB_ID", asked.id),
    )
    return [
        # Kubernetes expands $(NAME) in values; an event's text must stay literal.
        *({"name": name, "value": str(value).replace("$", "$$")} for name, value in said if value is not None),
        {"name": "JOBRELAY_EVENT_PATH", "value": EVENT_PATH},
        {"name": "JOBRELAY_RESULT_PATH", "value": result_path},
    ]
