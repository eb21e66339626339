"""Which LimitRanges the API accepts, and their defaults. What they do to pods is in podlimits.py."""

from typing import Any

from k8s.devcluster.errors import FieldError, duplicate, forbidden_field, invalid, required, unsupported
from k8s.devcluster.resources import Obj
from k8s.reading.quantity import parse

CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"
# Pairs of amounts of which the first must not be above the second, as messages call them.
_ORDER = (
    ("min", "max", "min", "max"),
    ("min", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "default request", "max"),
    ("defaultRequest", "default", "default request", "default limit"),
    ("min", "default", "min", "default"),
    ("default", "max", "default", "max"),
)


def default_limit_range(limit_range: Obj, *, new: bool) -> None:
    """The limits of containers default to the highest allowed, their requests to the limits, else to the lowest."""
    del new
    for item in (limit_range.get("spec") or {}).get("limits") or []:
        if item.get("type") != CONTAINER:
            continue
        for place, sources in (("default", ("max",)), ("defaultRequest", ("default", "min"))):
            amounts = dict(item.get(place) or {})
            for source in sources:
                amounts = {**(item.get(source) or {}), **amounts}
            if amounts:
                item[place] = amounts


def limit_range_rules(limit_range: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[Any] = set()
    for number, item in enumerate((limit_range.get("spec") or {}).get("limits") or []):
        field, kind = f"spec.limits[{number}]", item.get("type")
        if not kind:
            errors.append(required(f"{field}.type"))
        elif kind not in (CONTAINER, POD, CLAIM) and "/" not in kind:
            errors.append(unsupported(f"{field}.type", kind, (CONTAINER, POD, CLAIM)))
        if kind in seen:
            errors.append(duplicate(f"{field}.type", kind))
        seen.add(kind)
        errors += _item(item, field)
    return errors


def _item(item: Obj, field: str) -> list[FieldError]:
    errors = []
    if item.get("type") == POD:
        places = [place for place in ("default", "defaultRequest") if item.get(place)]
        errors += [forbidden_field(f"{field}.{place}", "may not be specified when `type` is 'Pod'") for place in places]
    storage = [place for place in ("min", "max") if "storage" in (item.get(place) or {})]
    if item.get("type") == CLAIM and not storage:
        why = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{field}.limits", why))
    for low, high, first, second in _ORDER:
        for name, amount in (item.get(low) or {}).items():
            bound = (item.get(high) or {}).get(name)
            if bound is not None and parse(amount) > parse(bound):
                why = f"{first} value {amount} is greater than {second} value {bound}"
                errors.append(invalid(f"{field}.{low}[{name}]", amount, why))
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        if parse(ratio) < 1:
            errors.append(invalid(f"{field}.maxLimitRequestRatio[{name}]", ratio, f"ratio {ratio} is less than 1"))
    return errors
