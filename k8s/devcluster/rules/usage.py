"""How much of a quota an object uses, and whether the quota is about it."""

from collections.abc import Iterable

from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.rules.placement import is_extended
from k8s.devcluster.rules.podresources import LIMITS, REQUESTS, containers, given, pod_total
from k8s.devcluster.rules.quantities import Amounts

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
# Kinds that a quota may also count by their plural alone.
_BY_PLURAL = ("configmaps", "persistentvolumeclaims", "resourcequotas", "secrets")
# Where a quota is about one of these, each container has to say how much it needs.
_REQUIRED = {"cpu", "memory", *(f"{place}.{name}" for place in (REQUESTS, LIMITS) for name in ("cpu", "memory"))}


def usage(kind: Resource, obj: Obj) -> dict[str, str]:
    """What `obj` uses, by the names of quotas."""
    used = {f"count/{kind.qualified}": "1"}
    if kind.kind == "Pod":
        return used if _is_over(obj) else used | {"pods": "1"} | _compute(obj["spec"])
    if not kind.group and kind.plural in _BY_PLURAL:
        used[kind.plural] = "1"
    if kind.kind == "PersistentVolumeClaim":
        used["requests.storage"] = given({"resources": obj["spec"].get("resources")}, REQUESTS).get("storage", "0")
    return used


def covers(quota: Obj, kind: Resource, obj: Obj) -> bool:
    """Whether `obj` is one of those that the quota's scopes select."""
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or []]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return not wanted or (kind.kind == "Pod" and all(_in_scope(obj, scope) for scope in wanted))


def missing(pod: Obj, limited: Iterable[str]) -> str | None:
    """Which containers do not say how much they need of what is limited, in Kubernetes' words."""
    lacking: dict[str, list[str]] = {}
    for container in containers(pod["spec"]):
        told = _named(given(container, REQUESTS), given(container, LIMITS))
        for name in _REQUIRED.intersection(limited) - told.keys():
            lacking.setdefault(name, []).append(container["name"])
    if not lacking:
        return None
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))


def _compute(spec: Obj) -> dict[str, str]:
    return _named(pod_total(spec, REQUESTS), pod_total(spec, LIMITS))


def _named(requests: Amounts, limits: Amounts) -> dict[str, str]:
    """Requests and limits under the names of quotas."""
    used: dict[str, str] = {}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            used[name] = used[f"requests.{name}"] = amount
        elif is_extended(name):
            used[f"requests.{name}"] = amount
    return used | {f"limits.{name}": amount for name, amount in limits.items() if name in _COMPUTE}


def _is_over(pod: Obj) -> bool:
    """It has ended, or its grace period has: only finalizers keep it."""
    metadata = pod["metadata"]
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended or ("deletionTimestamp" in metadata and not metadata.get("deletionGracePeriodSeconds"))


def _in_scope(pod: Obj, wanted: Obj) -> bool:
    spec, name = pod["spec"], wanted["scopeName"]
    if name in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) is (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        return ((pod.get("status") or {}).get("qosClass") == "BestEffort") is (name == "BestEffort")
    if name == "CrossNamespacePodAffinity":
        return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in _terms(spec))
    found, values = spec.get("priorityClassName"), wanted.get("values") or []
    return {
        "Exists": bool(found),
        "DoesNotExist": not found,
        "In": found in values,
        "NotIn": found not in values,
    }[wanted["operator"]]


def _terms(spec: Obj) -> list[Obj]:
    """The terms of a pod's affinity to and from other pods."""
    terms: list[Obj] = []
    for name in ("podAffinity", "podAntiAffinity"):
        found = (spec.get("affinity") or {}).get(name) or {}
        terms += found.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
    return terms
