"""Which ResourceQuotas the API accepts."""

from k8s.devcluster.errors import FieldError, invalid, unsupported
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.jobpolicy import NOT_NEGATIVE
from k8s.devcluster.rules.names import qualified_name
from k8s.reading.quantity import parse

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_COUNTS = (
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services",
    "services.loadbalancers", "services.nodeports",
)  # fmt: skip
_STANDARD = {
    *_COUNTS, *_COMPUTE, "requests.storage",
    *(f"{place}.{name}" for place in ("requests", "limits") for name in _COMPUTE),
}  # fmt: skip
_PREFIXES = ("hugepages-", "requests.hugepages-")
_SCOPES = (
    "BestEffort", "Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
)  # fmt: skip
_OPPOSITES = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_FOR_PODS = {"pods", *_COMPUTE, *(f"{place}.{name}" for place in ("requests", "limits") for name in _COMPUTE)}


def quota_rules(quota: Obj) -> list[FieldError]:
    spec = quota.get("spec") or {}
    errors: list[FieldError] = []
    for name, amount in (spec.get("hard") or {}).items():
        field = f"spec.hard[{name}]"
        errors += [invalid(field, name, message) for message in qualified_name(name)]
        if "/" not in name and name not in _STANDARD and not name.startswith(_PREFIXES):
            errors.append(invalid(field, name, "must be a standard resource for quotas"))
        if parse(amount) < 0:
            errors.append(invalid(field, str(amount), NOT_NEGATIVE))
        if name in _COUNTS and parse(amount) % 1:
            errors.append(invalid(field, str(amount), "must be an integer"))
    return errors + _scopes(spec)


def changed_quota(new: Obj, old: Obj) -> list[FieldError]:
    """The scopes of a quota stay."""
    scopes = (new.get("spec") or {}).get("scopes") or []
    if {*scopes} != {*((old.get("spec") or {}).get("scopes") or [])}:
        return [invalid("spec.scopes", scopes, "field is immutable")]
    return quota_rules(new)


def _scopes(spec: Obj) -> list[FieldError]:
    scopes: list[str] = spec.get("scopes") or []
    errors = [invalid("spec.scopes", scopes, "unsupported scope") for scope in scopes if scope not in _SCOPES]
    for scope in scopes:
        allowed = {"pods"} if scope == "BestEffort" else _FOR_PODS
        errors += [
            invalid("spec.scopes", scopes, "unsupported scope applied to resource")
            for name in spec.get("hard") or {}
            if scope in _SCOPES and name not in allowed and "/" not in name and not name.startswith(_PREFIXES)
        ]
    if any(both <= {*scopes} for both in _OPPOSITES):
        errors.append(invalid("spec.scopes", scopes, "conflicting scopes"))
    for number, wanted in enumerate((spec.get("scopeSelector") or {}).get("matchExpressions") or []):
        field = f"spec.scopeSelector.matchExpressions[{number}]"
        if wanted.get("scopeName") not in _SCOPES:
            errors.append(invalid(f"{field}.scopeName", wanted.get("scopeName"), "unsupported scope"))
        if wanted.get("operator") not in _OPERATORS:
            errors.append(unsupported(f"{field}.operator", wanted.get("operator"), _OPERATORS))
    return errors
