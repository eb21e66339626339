"""Admission of valid pods: service account, priority, Pod Security. Stores nothing."""

from collections.abc import Callable

from k8s.devcluster.errors import forbidden
from k8s.devcluster.resources import RESOURCES, Obj
from k8s.devcluster.rules import podsecurity
from k8s.devcluster.rules.defaults import quality

Lookup = Callable[[str, str], Obj | None]
"""(plural, name) -> the object; in the pod's namespace, if its kind is namespaced."""

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
DEFAULT_ACCOUNT = "default"


def complete(pod: Obj, lookup: Lookup) -> None:
    """Fill in what other objects say about a new pod. ApiError 403: it names an object that does not exist."""
    spec, name = pod["spec"], pod["metadata"].get("name", "")
    pod["status"]["qosClass"] = quality(spec)
    account = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
    # A real cluster creates `default` again as soon as it is deleted.
    if account != DEFAULT_ACCOUNT and lookup("serviceaccounts", account) is None:
        where = f"{pod['metadata']['namespace']}/{account}"
        why = f'error looking up service account {where}: serviceaccount "{account}" not found'
        raise forbidden(RESOURCES["pods"], name, why)
    wanted = spec.get("priorityClassName")
    if not wanted:
        return
    if wanted in SYSTEM_PRIORITIES:
        spec["priority"] = SYSTEM_PRIORITIES[wanted]
        return
    found = lookup("priorityclasses", wanted)
    if found is None:
        raise forbidden(RESOURCES["pods"], name, f"no PriorityClass with name {wanted} was found")
    spec["priority"] = found.get("value", 0)
    spec["preemptionPolicy"] = found.get("preemptionPolicy", "PreemptLowerPriority")


def enforce(pod: Obj, namespace: Obj) -> None:
    """ApiError 403 if the namespace's Pod Security level forbids this pod."""
    level, version = podsecurity.level(namespace, "enforce")
    why = podsecurity.violations(pod["spec"], level)
    if why:
        text = f'violates PodSecurity "{level}:{version}": {why}'
        raise forbidden(RESOURCES["pods"], pod["metadata"].get("name", ""), text)


def warnings(obj: Obj, namespace: Obj | None) -> list[str]:
    """Warnings for the client about a pod, or an object that makes pods, which violates the level of `warn`."""
    if namespace is None or obj.get("kind") not in ("CronJob", "Job", "Pod"):
        return []
    level, version = podsecurity.level(namespace, "warn")
    spec = obj["spec"]
    if obj["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if obj["kind"] != "Pod":
        spec = spec["template"]["spec"]
    why = podsecurity.violations(spec, level)
    return [f'would violate PodSecurity "{level}:{version}": {why}'] if why else []
