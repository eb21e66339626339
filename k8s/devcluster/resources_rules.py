"""Which amounts of resources a container may ask for."""

from decimal import Decimal

from k8s.devcluster.errors import FieldError, invalid, required
from k8s.devcluster.jobpolicy_rules import NOT_NEGATIVE
from k8s.devcluster.placement import is_extended
from k8s.devcluster.resources import Obj
from k8s.reading.quantity import parse

_STANDARD = ("cpu", "memory", "ephemeral-storage")


def amounts(resources: Obj, field: str) -> list[FieldError]:
    """Of `limits` and `requests`. What has no overcommitment (GPUs) is requested as it is limited."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors = []
    for place, given in (("limits", limits), ("requests", requests)):
        for name, amount in given.items():
            errors += _amount(name, amount, f"{field}.{place}")
    for name, amount in requests.items():
        if name in limits and is_extended(name) and parse(amount) != parse(limits[name]):
            why = f"must be equal to {name} limit of {limits[name]}"
            errors.append(invalid(f"{field}.requests", str(amount), why))
        elif name in limits and parse(amount) > parse(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            errors.append(invalid(f"{field}.requests", str(amount), why))
        elif name not in limits and is_extended(name):
            errors.append(required(f"{field}.limits", "Limit must be set for non overcommitable resources"))
    return errors


def _amount(name: str, amount: str, field: str) -> list[FieldError]:
    errors = []
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        errors.append(invalid(field, name, "must be a standard resource for containers"))
    if parse(amount) < 0:
        errors.append(invalid(f"{field}.{name}", str(amount), NOT_NEGATIVE))
    if is_extended(name) and parse(amount) % 1 != Decimal():
        errors.append(invalid(f"{field}.{name}", str(amount), "must be an integer"))
    return errors
