"""From a request with a schedule to the CronJob whose Jobs run it. Pure: sends and reads nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from msgspec import structs

from events.identity import request_label
from events.jobs.observed import Job
from events.names import FINALIZER, NEW_RUN, QUEUED_AT_CREATION, Annotation, Label
from events.request.request import Request
from k8s.base import Manifest
from k8s.manifests.job import Rendered, render
from k8s.manifests.mapping import cron_job_annotations, cron_job_fields
from k8s.manifests.options import ManifestOptions, ungoverned
from k8s.reading.job import SCHEDULED_TIMESTAMP

HISTORY = 1000
"""How many finished Jobs Kubernetes keeps: so many that their TTL decides instead."""
_RUN_FIELDS = {"JOBRELAY_JOB_ID": Annotation.ID, "JOBRELAY_SCHEDULED_FOR": Annotation.RUN}
"""Variables of every run, and the pods' annotations that they are filled from."""


def render_schedule(
    request: Request, *, options: ManifestOptions, reply_to: str | None = None, trace: Mapping[str, str] | None = None
) -> Rendered:
    """The CronJob of this request; a pure function. The arguments are those of `render`.

    Its Jobs are created suspended, and wait to be adopted: see `adoption`.
    """
    rendered = render(request, options=replace(options, governs=ungoverned), reply_to=reply_to, trace=trace)
    asked, job = request.request, rendered.job
    metadata, spec = job["metadata"], job["spec"]
    labels = _of_runs(metadata["labels"])
    spec["template"]["metadata"]["labels"] = labels
    _name_run(spec["template"]["spec"], labels)
    template = {"labels": labels, "annotations": {**metadata["annotations"], Annotation.RUN: NEW_RUN}}
    cron_job: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {**metadata, "annotations": {**metadata["annotations"], **cron_job_annotations(asked)}},
        "spec": {
            **cron_job_fields(asked),
            "successfulJobsHistoryLimit": HISTORY,
            "failedJobsHistoryLimit": HISTORY,
            "jobTemplate": {"metadata": template, "spec": {**spec, "suspend": True}},
        },
    }
    return structs.replace(rendered, job=cron_job, scheduled=True)


def run_now(cron_job: Manifest, *, name: str, time: str, command: str) -> Manifest:
    """The Job of a run of this time (RFC 3339), beside those that Kubernetes makes. `command`: names who asked for it.

    It waits to be adopted, as they do. Kubernetes knows nothing of it when it looks at `concurrencyPolicy`.
    """
    owner, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    given = template.get("metadata") or {}
    notes = {Annotation.COMMAND: command, SCHEDULED_TIMESTAMP: time, "cronjob.kubernetes.io/instantiate": "manual"}
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": owner["name"], "uid": owner["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "labels": given.get("labels") or {},
            "annotations": {**(given.get("annotations") or {}), **notes},
            # The controller of schedules would report a Job that it controls and has not made.
            "ownerReferences": [{**reference, "controller": False}],
        },
        "spec": template["spec"],
    }


def adoption(run: Job, *, request_id: str, time: str, released: str | None) -> Manifest:
    """A patch that makes a request of a Job that Kubernetes made for a schedule. It fails if the Job has changed since.

    `released`: from when on it runs (RFC 3339); None: it waits for admission.
    """
    labels = {Label.REQUEST: request_label(request_id)}
    named = {Annotation.ID: request_id, Annotation.RUN: time}
    place = {Annotation.QUEUED: QUEUED_AT_CREATION} if released is None else {Annotation.RELEASED: released}
    spec: Manifest = {}
    if run.suspend and run.start_time is None:
        # Labels and annotations of its pods may only change as long as it has never run.
        marks = {**named, Annotation.JOB: f"{run.namespace}/{run.name}"}
        spec["template"] = {"metadata": {"labels": labels, "annotations": marks}}
    if released is not None:
        spec["suspend"] = False
    return {
        "metadata": {
            "resourceVersion": str(run.version),
            "finalizers": [FINALIZER],
            "labels": labels,
            "annotations": {**named, **place},
        },
        "spec": spec,
    }


def _of_runs(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels that all runs share. Adoption adds which request a run is."""
    return {Label.SCHEDULE if name == Label.REQUEST else name: value for name, value in labels.items()}


def _name_run(pod: Manifest, labels: Mapping[str, str]) -> None:
    """Fill variables of the run from each pod's annotations, and spread the pods of all runs over the nodes."""
    for container in pod["containers"]:
        others = [variable for variable in container["env"] if variable["name"] not in _RUN_FIELDS]
        container["env"] = [*(_variable(name, note) for name, note in _RUN_FIELDS.items()), *others]
    for constraint in pod["topologySpreadConstraints"]:
        if constraint["labelSelector"] == {"matchLabels": {Label.REQUEST: labels[Label.SCHEDULE]}}:
            constraint["labelSelector"] = {"matchLabels": {Label.SCHEDULE: labels[Label.SCHEDULE]}}


def _variable(name: str, note: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{note}']"}}}
