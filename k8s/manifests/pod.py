"""The pod template of a request: container, volumes, placement, security. What stands on the Job is in job.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudevents.core.v1.event import CloudEvent

from events.functions.functions import Asked
from events.names import Annotation, Label
from events.request.container import Ephemeral, Volume
from events.request.fields import Model
from events.request.job import JobSpec
from events.request.request import Request
from k8s.base import Manifest
from k8s.reading.job import MAIN

EVENT_DIRECTORY = "/var/run/jobrelay"
EVENT_FILE = "event.json"
EVENT_PATH = f"{EVENT_DIRECTORY}/{EVENT_FILE}"
RESULT_PATH = "/dev/termination-log"
EVENT_VOLUME = "jobrelay-event"
EVENT_MOUNT = {"name": EVENT_VOLUME, "mountPath": EVENT_DIRECTORY, "readOnly": True}
_OF_THE_POD = (
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "fsGroup",
    "fsGroupChangePolicy",
    "supplementalGroups",
    "seccompProfile",
)
"""Fields of a request's `securityContext` that a pod has. All others its container has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """The installation's part of every pod.

    `run_as_user`: None leaves user and security context to the image; else pods meet the Pod Security Standard
    "restricted". `limits`: quantity by resource, for containers that ask for no limit. `gpu_resource`: what a GPU is.
    """

    run_as_user: int | None = 65532
    limits: Mapping[str, str] = field(default_factory=dict)
    gpu_resource: str = "nvidia.com/gpu"


def pod_spec(request: Request, options: PodOptions, *, labels: Mapping[str, str], inline: bool) -> Manifest:
    """The `spec` of the pod template. `labels` are those of its pods, `inline`: the event is one of its annotations."""
    asked = request.request.job
    volumes = asked.mounts
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [_container(request, options, volumes)],
        "volumes": [
            event_volume(request.job_name, inline=inline),
            *({"name": _name(number), **_source(volume)} for number, volume in enumerate(volumes)),
        ],
        "topologySpreadConstraints": _spread(asked, labels),
    }
    if asked.service_account:
        spec["serviceAccountName"] = asked.service_account
    if asked.termination_grace_period_seconds is not None:
        spec["terminationGracePeriodSeconds"] = asked.termination_grace_period_seconds
    if asked.image_pull_secrets:
        spec["imagePullSecrets"] = [as_json(one) for one in asked.image_pull_secrets]
    security = _pod_security(asked, options)
    if security:
        spec["securityContext"] = security
    return spec | _placement(asked)


def as_json(model: Model) -> Manifest:
    """What was given of it, in Kubernetes' words."""
    return model.model_dump(by_alias=True, exclude_none=True)


def _placement(asked: JobSpec) -> Manifest:
    spec: Manifest = {}
    if asked.node_selector:
        spec["nodeSelector"] = dict(asked.node_selector)
    tolerations = [*([asked.toleration] if asked.toleration else ()), *(asked.tolerations or ())]
    if tolerations:
        spec["tolerations"] = [as_json(one) for one in tolerations]
    if asked.affinity is not None:
        spec["affinity"] = as_json(asked.affinity)
    if asked.priority_class_name is not None:
        spec["priorityClassName"] = asked.priority_class_name
    return spec


def _spread(asked: JobSpec, labels: Mapping[str, str]) -> list[Manifest]:
    """Evenly over the nodes as far as they have room, unless the request says otherwise."""
    own = {"matchLabels": {Label.REQUEST: labels[Label.REQUEST]}}
    if asked.topology_spread_constraints is None:
        even = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        return [{**even, "labelSelector": own}]
    return [{"labelSelector": own, **as_json(one)} for one in asked.topology_spread_constraints]


def _pod_security(asked: JobSpec, options: PodOptions) -> Manifest:
    wanted = _wanted(asked)
    given = {name: wanted[name] for name in _OF_THE_POD if name in wanted}
    if options.run_as_user is None:
        return given
    safe: Manifest = {
        "runAsNonRoot": True,
        "runAsUser": options.run_as_user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if any(volume.ephemeral for volume in asked.mounts):
        # A new claim belongs to root: without a group of its own nobody else could write to it.
        safe |= {"fsGroup": given.get("runAsUser", options.run_as_user), "fsGroupChangePolicy": "OnRootMismatch"}
    return safe | given


def _container_security(asked: JobSpec, options: PodOptions) -> Manifest:
    given = {name: value for name, value in _wanted(asked).items() if name not in _OF_THE_POD}
    if options.run_as_user is None:
        return given
    return given | {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _wanted(asked: JobSpec) -> Manifest:
    return {} if asked.security_context is None else as_json(asked.security_context)


def event_volume(job_name: str, *, inline: bool) -> Manifest:
    """The volume with the event: an annotation of the pod, or the Job's Secret."""
    if inline:
        path = {"fieldPath": f"metadata.annotations['{Annotation.EVENT}']"}
        return {"name": EVENT_VOLUME, "downwardAPI": {"items": [{"path": EVENT_FILE, "fieldRef": path}]}}
    return {"name": EVENT_VOLUME, "secret": {"secretName": job_name}}


def _name(number: int) -> str:
    return f"volume-{number}"


def _source(volume: Volume) -> Manifest:
    if volume.pvc is not None:
        return {"persistentVolumeClaim": {"claimName": volume.pvc}}
    if volume.config_map is not None:
        return {"configMap": {"name": volume.config_map}}
    if volume.secret is not None:
        return {"secret": {"secretName": volume.secret}}
    if volume.ephemeral is not None:
        return {"ephemeral": {"volumeClaimTemplate": {"spec": _claim(volume.ephemeral)}}}
    return {"emptyDir": {} if volume.empty_dir is None else as_json(volume.empty_dir)}


def _claim(asked: Ephemeral) -> Manifest:
    spec: Manifest = {
        "accessModes": list(asked.access_modes or ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": asked.storage}},
    }
    return spec if asked.storage_class_name is None else {**spec, "storageClassName": asked.storage_class_name}


def _mount(number: int, volume: Volume) -> Manifest:
    mount: Manifest = {"name": _name(number), "mountPath": volume.mount_path}
    if volume.sub_path is not None:
        mount["subPath"] = volume.sub_path
    return {**mount, "readOnly": True} if volume.read_only else mount


def _container(request: Request, options: PodOptions, volumes: list[Volume]) -> Manifest:
    asked = request.request.job
    container: Manifest = {
        "name": MAIN,
        "image": asked.image,
        "env": [*our_env(request), *({"name": one.name, "value": one.value} for one in asked.env)],
        "volumeMounts": [
            EVENT_MOUNT,
            *(_mount(number, volume) for number, volume in enumerate(volumes)),
        ],
        "terminationMessagePath": RESULT_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_given(asked, options),
    }
    security = _container_security(asked, options)
    return {**container, "securityContext": security} if security else container


def _given(asked: JobSpec, options: PodOptions) -> Manifest:
    """What a container has only when the request says so: an empty command is not the image's."""
    sources = {"configmap": "configMapRef", "secret": "secretRef"}
    fields = {
        "imagePullPolicy": asked.image_pull_policy,
        "command": list(asked.command),
        "args": list(asked.args),
        "workingDir": asked.working_dir,
        "envFrom": [{sources[one.type]: {"name": one.name}} for one in asked.env_ref],
        "resources": _resources(asked, options),
    }
    return {name: value for name, value in fields.items() if value}


def _resources(asked: JobSpec, options: PodOptions) -> Manifest:
    """With the limits of the installation where the request has none of its own."""
    limits, requests = dict(asked.resources.limits), dict(asked.resources.requests)
    for name, amount in options.limits.items():
        if name not in limits:
            limits[name] = amount
            # Else Kubernetes would reserve as much as the limit for a container that asked for nothing.
            requests.setdefault(name, "0")
    if asked.gpus:
        limits[options.gpu_resource] = str(asked.gpus)
    return {kind: amounts for kind, amounts in (("limits", limits), ("requests", requests)) if amounts}


def our_env(asked: Asked, *, result_path: str = RESULT_PATH) -> list[dict[str, str]]:
    """What every container gets from us. `result_path`: its termination message file."""
    event: CloudEvent = asked.event
    found = {
        "CE_ID": event.get_id(),
        "CE_SOURCE": event.get_source(),
        "CE_TYPE": event.get_type(),
        "CE_SUBJECT": event.get_subject(),
        "TRACEPARENT": event.get_extension("traceparent"),
        "JOBRELAY_JOB_ID": asked.id,
    }
    # Kubernetes replaces $(NAME) in values; what an event says is taken literally.
    ours = {name: str(value).replace("$", "$$") for name, value in found.items() if value is not None}
    return [
        {"name": name, "value": value}
        for name, value in {**ours, "JOBRELAY_EVENT_PATH": EVENT_PATH, "JOBRELAY_RESULT_PATH": result_path}.items()
    ]
