"""From the Job of a failed attempt to the Job of the next attempt. Pure: sends and reads nothing."""

import copy

from msgspec.structs import replace

from events.cloudevent.timestamp import format_epoch
from events.jobs.attempts import attempt_name, written_time
from events.jobs.observed import Job
from events.jobs.queueing import read_queueing
from events.names import FINALIZER, QUEUED_AT_CREATION, Annotation, Payload
from k8s.base import Manifest
from k8s.manifests.job import made_for
from k8s.manifests.pod import EVENT_VOLUME, payload_name

_NOT_AGAIN = (
    Annotation.VERDICT,
    Annotation.RELEASED,
    Annotation.SUSPENDED_BY,
    Annotation.STARTED,
    Annotation.DEPENDENCIES,
    Annotation.PAYLOAD,
)
_OF_ONE_JOB = frozenset(
    {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
)
"""Labels that Kubernetes has put on the pod template: they belong to a single Job."""


def next_attempt(manifest: Manifest, job: Job, *, at: float) -> Manifest:
    """The Job of the attempt after `job`: queued, and not before `at` (epoch seconds). `manifest` is that of `job`.

    If the event is in a Secret, the new Job is pending until its own Secret exists.
    """
    name = attempt_name(job, job.attempt + 1)
    given, spec = manifest["metadata"], copy.deepcopy(manifest["spec"])
    for field in ("selector", "ttlSecondsAfterFinished"):
        spec.pop(field, None)
    _free_template(spec["template"])
    secret = _payload(spec["template"]["spec"])
    notes = {key: value for key, value in (given.get("annotations") or {}).items() if key not in _NOT_AGAIN}
    asked = replace(read_queueing(notes.get(Annotation.QUEUEING)), dependencies=(), run_at=written_time(at))
    # What somebody may have removed or changed meanwhile.
    notes |= {Annotation.ID: job.request_id, Annotation.SOURCE: job.source}
    notes |= {
        Annotation.ATTEMPT: str(job.attempt + 1),
        Annotation.ACCEPTED: format_epoch(job.created if job.accepted is None else job.accepted),
        Annotation.QUEUED: QUEUED_AT_CREATION,
        Annotation.QUEUEING: asked.to_annotation() or "",
    }
    if secret is not None:
        secret["secretName"] = payload_name(name)
        notes[Annotation.PAYLOAD] = Payload.PENDING
    labels = {key: value for key, value in (given.get("labels") or {}).items() if key not in _OF_ONE_JOB}
    labels |= dict(job.lost_labels)
    metadata: Manifest = {"name": name, "namespace": given["namespace"], "labels": labels, "annotations": notes}
    if owners := [_not_controlled(owner) for owner in given.get("ownerReferences") or () if owner["kind"] == "CronJob"]:
        metadata["ownerReferences"] = owners
    marks = spec["template"]["metadata"].get("annotations") or {}
    marks |= {**made_for(metadata), Annotation.ATTEMPT: str(job.attempt + 1)}
    spec["template"]["metadata"]["annotations"] = marks
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "finalizers": [FINALIZER]},
        "spec": {**spec, "suspend": True},
    }


def _not_controlled(owner: Manifest) -> Manifest:
    """The Job is deleted with its schedule, but the schedule's controller must not take it for a run of its own."""
    return {name: value for name, value in owner.items() if name != "blockOwnerDeletion"} | {"controller": False}


def _payload(pod: Manifest) -> Manifest | None:
    volumes = pod.get("volumes") or ()
    found = next((volume.get("secret") for volume in volumes if volume["name"] == EVENT_VOLUME), None)
    return found if isinstance(found, dict) else None


def _free_template(template: Manifest) -> None:
    metadata = template.setdefault("metadata", {})
    if labels := metadata.get("labels"):
        metadata["labels"] = {key: value for key, value in labels.items() if key not in _OF_ONE_JOB}
    metadata.pop("creationTimestamp", None)
