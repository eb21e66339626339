"""Where each field of a request goes in its manifest. What jobrelay adds of its own is in job.py and pod.py.

A field that has no place here reaches no Job: tests/k8s/manifests/test_mapping.py fails with its name. There are three
exceptions. `id` and `job.prefixName` make the Job's name (`Request`). `payload` and `job.ttlSecondsAfterFinished` tell
job.py what to do. Fields about the queue become an annotation together (`Queueable.queueing`).
"""

from collections.abc import Mapping
from typing import Any

import orjson

from events.names import EPHEMERAL, Annotation, Label
from events.request.container import Ephemeral, Volume
from events.request.fields import Model
from events.request.job import JobSpec
from events.request.request import JobRequest
from k8s.base import Manifest
from k8s.manifests.options import ManifestOptions

_OF_THE_POD = (
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "fsGroup",
    "fsGroupChangePolicy",
    "supplementalGroups",
    "seccompProfile",
)
"""Fields of a request's `securityContext` that go to the pod. All others go to its container."""


def labels(request: JobRequest, options: ManifestOptions) -> dict[str, str]:
    """Of the Job and of its pods."""
    return {**(request.job.labels or {}), **(service_labels(request.service, options) if request.service else {})}


def service_labels(service: str, options: ManifestOptions) -> dict[str, str]:
    """The labels that say whose the Job and its pods are."""
    return {Label.NAME: service, Label.APP: service} if options.app_label else {Label.SERVICE: service}


def annotations(request: JobRequest, options: ManifestOptions) -> dict[str, str]:
    """Of the Job."""
    fields = {
        Annotation.START_TIMEOUT: str(request.start_timeout or options.default_start_timeout),
        Annotation.TIMEOUT: None if request.timeout is None else str(request.timeout),
        Annotation.RETRY: request.retry and request.retry.to_annotation(),
        Annotation.FAILOVER: request.failover
        and request.failover.job.model_dump_json(by_alias=True, exclude_unset=True),
        Annotation.TAGS: as_json(request.tags),
        Annotation.METADATA: as_json(request.metadata),
    }
    return {**pod_annotations(request.job), **_given(fields)}


def job_fields(request: JobRequest, options: ManifestOptions) -> Manifest:
    """Of the Job's `spec`, but for its template."""
    asked = request.job
    return _given(
        {
            "backoffLimit": request.backoff_limit,
            "parallelism": asked.parallelism,
            # Kubernetes' defaults: 1 for a single pod; several without a number share a work queue.
            "completions": asked.completions or (1 if asked.parallelism == 1 else None),
            "activeDeadlineSeconds": asked.active_deadline_seconds or options.default_deadline,
            "completionMode": asked.completion_mode,
            "backoffLimitPerIndex": asked.backoff_limit_per_index,
            "maxFailedIndexes": asked.max_failed_indexes,
            "podReplacementPolicy": asked.pod_replacement_policy,
            "successPolicy": _whole(asked.success_policy),
            "podFailurePolicy": _whole(asked.pod_failure_policy),
        }
    )


def cron_job_fields(request: JobRequest) -> Manifest:
    """Of the `spec` of a schedule's CronJob, but for its template."""
    return _given(
        {
            "schedule": request.schedule,
            "timeZone": request.time_zone,
            "concurrencyPolicy": request.concurrency_policy or "Allow",
        }
    )


def cron_job_annotations(request: JobRequest) -> dict[str, str]:
    """Of a schedule's CronJob, beside those of its Jobs."""
    return {} if request.max_runs is None else {Annotation.MAX_RUNS: str(request.max_runs)}


def pod_annotations(asked: JobSpec) -> dict[str, str]:
    return dict(asked.annotations or {})


def pod_fields(asked: JobSpec, options: ManifestOptions, *, labels: Mapping[str, str]) -> Manifest:
    """Of the pod's `spec`, but for its container. `labels` are those of its pods."""
    tolerations = [*([asked.toleration] if asked.toleration else ()), *(asked.tolerations or ())]
    return _given(
        {
            "volumes": [
                {"name": _name(number, volume), **_source(volume)} for number, volume in enumerate(asked.mounts)
            ],
            "serviceAccountName": asked.service_account,
            "terminationGracePeriodSeconds": asked.termination_grace_period_seconds,
            "imagePullSecrets": [_whole(secret) for secret in asked.image_pull_secrets or ()] or None,
            "securityContext": _pod_security(asked, options) or None,
            "nodeSelector": dict(asked.node_selector or {}) or None,
            "tolerations": [_whole(toleration) for toleration in tolerations] or None,
            "affinity": _whole(asked.affinity),
            "topologySpreadConstraints": _spread(asked, labels),
            "priorityClassName": asked.priority_class_name,
        }
    )


def container_fields(asked: JobSpec, options: ManifestOptions) -> Manifest:
    """Of the pod's container. An empty command leaves the image's in place."""
    sources = {"configmap": "configMapRef", "secret": "secretRef"}
    return _given(
        {
            "image": asked.image,
            "imagePullPolicy": asked.image_pull_policy,
            "command": list(asked.command) or None,
            "args": list(asked.args) or None,
            "workingDir": asked.working_dir,
            "env": [{"name": variable.name, "value": variable.value} for variable in asked.env],
            "envFrom": [{sources[source.type]: {"name": source.name}} for source in asked.env_ref] or None,
            "volumeMounts": [_mount(number, volume) for number, volume in enumerate(asked.mounts)],
            "resources": _resources(asked, options) or None,
            "securityContext": _container_security(asked, options) or None,
        }
    )


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _whole(model: Model | None) -> Manifest | None:
    """The fields that were given, by Kubernetes' names."""
    return None if model is None else model.model_dump(by_alias=True, exclude_none=True)


def as_json(value: object) -> str | None:
    """The value as an annotation says it; None for None."""
    return None if value is None else orjson.dumps(value).decode()


def _spread(asked: JobSpec, labels: Mapping[str, str]) -> list[Manifest]:
    """Unless the request says otherwise, spread evenly over the nodes as far as they have room."""
    own = {"labelSelector": {"matchLabels": {Label.REQUEST: labels[Label.REQUEST]}}}
    if asked.topology_spread_constraints is None:
        even = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        return [{**even, **own}]
    return [{**own, **(_whole(constraint) or {})} for constraint in asked.topology_spread_constraints]


def _pod_security(asked: JobSpec, options: ManifestOptions) -> Manifest:
    wanted = _whole(asked.security_context)
    given = {name: wanted[name] for name in _OF_THE_POD if name in wanted} if wanted else {}
    if options.run_as_user is None:
        return given
    safe: Manifest = {
        "runAsNonRoot": True,
        "runAsUser": options.run_as_user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if asked.volumes and any(volume.ephemeral for volume in asked.volumes):
        # A new volume belongs to root: without a group, nobody else could write to it.
        safe |= {"fsGroup": given.get("runAsUser", options.run_as_user), "fsGroupChangePolicy": "OnRootMismatch"}
    return safe | given


def _container_security(asked: JobSpec, options: ManifestOptions) -> Manifest:
    wanted = _whole(asked.security_context)
    given = {name: value for name, value in wanted.items() if name not in _OF_THE_POD} if wanted else {}
    if options.run_as_user is None:
        return given
    return given | {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _name(number: int, volume: Volume) -> str:
    """A claim that is made for a pod is called after the volume: policy tells by that name whose it is."""
    return f"volume-{number}" if volume.ephemeral is None else f"{EPHEMERAL}{number}"


def _source(volume: Volume) -> Manifest:
    if volume.pvc is not None:
        return {"persistentVolumeClaim": {"claimName": volume.pvc}}
    if volume.config_map is not None:
        return {"configMap": {"name": volume.config_map}}
    if volume.secret is not None:
        return {"secret": {"secretName": volume.secret}}
    if volume.ephemeral is not None:
        return {"ephemeral": {"volumeClaimTemplate": {"spec": _claim(volume.ephemeral)}}}
    return {"emptyDir": _whole(volume.empty_dir) or {}}


def _claim(asked: Ephemeral) -> Manifest:
    return _given(
        {
            "accessModes": list(asked.access_modes or ["ReadWriteOnce"]),
            "resources": {"requests": {"storage": asked.storage}},
            "storageClassName": asked.storage_class_name,
        }
    )


def _mount(number: int, volume: Volume) -> Manifest:
    return _given(
        {
            "name": _name(number, volume),
            "mountPath": volume.mount_path,
            "subPath": volume.sub_path,
            "readOnly": volume.read_only or None,
        }
    )


def _resources(asked: JobSpec, options: ManifestOptions) -> Manifest:
    """What was asked for. The installation's limits fill in where the request has none."""
    limits, requests = dict(asked.resources.limits), dict(asked.resources.requests)
    for name, amount in options.limits.items():
        if name not in limits:
            limits[name] = amount
            # Without a request, Kubernetes would reserve as much as the limit.
            requests.setdefault(name, "0")
    if asked.gpus:
        limits[options.gpu_resource] = str(asked.gpus)
    return {kind: amounts for kind, amounts in (("limits", limits), ("requests", requests)) if amounts}
