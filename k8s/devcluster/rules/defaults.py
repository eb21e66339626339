"""Fills in, in place, the API server's defaults of Jobs, CronJobs, Pods and claims. Does not validate."""

from typing import Any

from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.imagenames import normalized
from k8s.devcluster.rules.podresources import containers

_EVICTION = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
MAX_INT = 2**31 - 1
JOB_PREFIX = "batch.kubernetes.io/"
JOB_LABELS = ("controller-uid", "job-name")
"""Of a Job's pods, with and without the prefix."""
PROTECTION = "kubernetes.io/pvc-protection"


def default_job(job: Obj, *, new: bool) -> None:
    """A new Job also gets its selector, its pods' labels and an empty status."""
    spec = _section(job, "spec")
    template = _section(spec, "template")
    if new:
        _select_own_pods(job, spec, template)
        job["status"] = {}
    default_job_spec(spec)


def default_job_spec(spec: Obj) -> None:
    """All defaults but the selector, which the template of a CronJob must not have."""
    if spec.get("parallelism") is None and spec.get("completions") is None:
        spec["completions"] = 1
    _fill(spec, "parallelism", 1)
    _fill(spec, "backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else MAX_INT)
    _fill(spec, "completionMode", "NonIndexed")
    _fill(spec, "suspend", False)
    replaced = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    _fill(spec, "podReplacementPolicy", replaced)
    _default_pod_template(spec)


def default_cron_job(cron_job: Obj, *, new: bool) -> None:
    """The template gets only the defaults of pods: its Jobs get those of Jobs when they are created."""
    if new:
        cron_job["status"] = {}
    spec = _section(cron_job, "spec")
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    _fill(spec, "suspend", False)
    _fill(spec, "successfulJobsHistoryLimit", 3)
    _fill(spec, "failedJobsHistoryLimit", 1)
    template = _section(spec, "jobTemplate")
    _section(template, "metadata").pop("creationTimestamp", None)
    _default_pod_template(_section(template, "spec"))


def _default_pod_template(spec: Obj) -> None:
    """Defaults of the pod template in a Job's `spec`, and of pod conditions in its failure policy."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            _fill(pattern, "status", "True")
    template = _section(spec, "template")
    _section(template, "metadata").pop("creationTimestamp", None)
    default_pod_spec(_section(template, "spec"))


def default_pod(pod: Obj, *, new: bool) -> None:
    spec = _section(pod, "spec")
    default_pod_spec(spec)
    _fill(spec, "restartPolicy", "Always")
    for container in containers(spec):
        _request_what_is_limited(container)
    if not new:
        return
    _fill(spec, "serviceAccountName", "default")
    _fill(spec, "serviceAccount", spec["serviceAccountName"])
    _fill(spec, "enableServiceLinks", True)
    _fill(spec, "priority", 0)
    _fill(spec, "preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    tolerated = {toleration.get("key") for toleration in tolerations}
    tolerations.extend(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _EVICTION
        if key not in tolerated
    )
    pod["status"] = {"phase": "Pending"}


def default_claim(claim: Obj, *, new: bool) -> None:
    """A new claim is pending, and has the finalizer that keeps it while a pod uses it."""
    _fill(_section(claim, "spec"), "volumeMode", "Filesystem")
    if new:
        finalizers = claim["metadata"].get("finalizers") or []
        claim["metadata"]["finalizers"] = [*finalizers, *({PROTECTION} - {*finalizers})]
        claim["status"] = {"phase": "Pending"}


def default_pod_spec(spec: Obj) -> None:
    """What pods and pod templates have in common. `restartPolicy` has no default in a template: Jobs must set it."""
    for container in (spec.get("initContainers") or []) + (spec.get("containers") or []):
        _default_container(container)
    for volume in spec.get("volumes") or []:
        _default_volume(volume)
    _fill(spec, "terminationGracePeriodSeconds", 30)
    _fill(spec, "dnsPolicy", "ClusterFirst")
    _fill(spec, "securityContext", {})
    _fill(spec, "schedulerName", "default-scheduler")


def _section(obj: Obj, name: str) -> Obj:
    """`obj[name]`, created if it is missing or null."""
    if obj.get(name) is None:
        obj[name] = {}
    section: Obj = obj[name]
    return section


def _fill(obj: Obj, name: str, value: Any) -> None:
    if obj.get(name) is None:
        obj[name] = value


def _select_own_pods(job: Obj, spec: Obj, template: Obj) -> None:
    metadata = _section(template, "metadata")
    if not job["metadata"].get("labels") and metadata.get("labels"):
        job["metadata"]["labels"] = dict(metadata["labels"])
    _fill(spec, "manualSelector", False)
    if spec["manualSelector"]:
        return
    uid, name = job["metadata"]["uid"], job["metadata"].get("name", "")
    labels = _section(metadata, "labels")
    for prefix in (JOB_PREFIX, ""):
        for label, value in zip(JOB_LABELS, (uid, name), strict=True):
            labels[f"{prefix}{label}"] = value
    selector = _section(spec, "selector")
    _section(selector, "matchLabels")["batch.kubernetes.io/controller-uid"] = uid


def _default_container(container: Obj) -> None:
    _fill(container, "resources", {})
    _fill(container, "terminationMessagePath", "/dev/termination-log")
    _fill(container, "terminationMessagePolicy", "File")
    _fill(container, "imagePullPolicy", _pull_policy(container.get("image") or ""))
    for port in container.get("ports") or []:
        _fill(port, "protocol", "TCP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            _fill(reference, "apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            _default_probe(container[name])


def _default_probe(probe: Obj) -> None:
    defaults = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for name, value in defaults.items():
        _fill(probe, name, value)
    if probe.get("httpGet"):
        _fill(probe["httpGet"], "path", "/")
        _fill(probe["httpGet"], "scheme", "HTTP")


def _pull_policy(image: str) -> str:
    if "@" in image or normalized(image)[1]:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_volume(volume: Obj) -> None:
    for name in ("secret", "configMap", "projected", "downwardAPI"):
        if volume.get(name) is not None:
            _fill(volume[name], "defaultMode", 0o644)
    _default_items(volume.get("downwardAPI") or {})
    for source in (volume.get("projected") or {}).get("sources") or []:
        _default_items(source.get("downwardAPI") or {})
        if source.get("serviceAccountToken") is not None:
            _fill(source["serviceAccountToken"], "expirationSeconds", 3600)
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim:
        _fill(_section(claim, "spec"), "volumeMode", "Filesystem")
    if not any(value is not None for name, value in volume.items() if name != "name"):
        volume["emptyDir"] = {}


def _default_items(source: Obj) -> None:
    for item in source.get("items") or []:
        if item.get("fieldRef") is not None:
            _fill(item["fieldRef"], "apiVersion", "v1")


def _request_what_is_limited(container: Obj) -> None:
    resources = container["resources"]
    if resources.get("limits"):
        resources["requests"] = resources["limits"] | (resources.get("requests") or {})


def quality(spec: Obj) -> str:
    """The pod's QoS class. Guaranteed: every container's limits of cpu and memory equal its requests."""
    containers = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    resources = [container.get("resources") or {} for container in containers]
    if not any(given.get("limits") or given.get("requests") for given in resources):
        return "BestEffort"
    for given in resources:
        limits, requests = given.get("limits") or {}, given.get("requests") or {}
        if not {"cpu", "memory"} <= limits.keys() or any(
            requests.get(name) != limits[name] for name in ("cpu", "memory")
        ):
            return "Burstable"
    return "Guaranteed"
