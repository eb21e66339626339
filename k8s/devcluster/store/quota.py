"""Quotas of a namespace: whether a new object fits, and their status, which counts what is there."""

from collections.abc import Callable, Iterable

from k8s.devcluster.errors import forbidden
from k8s.devcluster.resources import RESOURCES, Obj, Resource
from k8s.devcluster.rules.quantities import Amounts, add, canonical, subtract, total
from k8s.devcluster.rules.usage import covers, missing, usage
from k8s.reading.quantity import parse


def check_quota(kind: Resource, obj: Obj, quotas: list[Obj]) -> None:
    """ApiError 403 if the new `obj` does not fit into one of the quotas of its namespace."""
    concerned = [(quota, part) for quota in quotas if (part := _part(kind, obj, quota))]
    name = obj["metadata"].get("name", "")
    if kind.kind == "Pod":
        for quota in quotas:
            lacking = missing(obj, _hard(quota)) if covers(quota, kind, obj) else None
            if lacking:
                raise forbidden(kind, name, f"failed quota: {quota['metadata']['name']}: {lacking}")
    for quota, part in concerned:
        used, hard = quota["status"].get("used") or {}, _hard(quota)
        exceeded = sorted(key for key, more in part.items() if parse(add(used.get(key, "0"), more)) > parse(hard[key]))
        if exceeded:
            why = (
                f"exceeded quota: {quota['metadata']['name']}, requested: {_shown(part, exceeded)}"
                f", used: {_shown(used, exceeded)}, limited: {_shown(hard, exceeded)}"
            )
            raise forbidden(kind, name, why)


def recounted(quota: Obj, objects: Callable[[str], Iterable[Obj]]) -> Obj:
    """The status of a quota, counted anew. `objects`: all objects of a kind in its namespace."""
    parts: list[Amounts] = [
        _part(kind, obj, quota)
        for kind in RESOURCES.values()
        if kind.namespaced and _can_count(kind, _hard(quota))
        for obj in objects(kind.plural)
    ]
    hard = {name: canonical(amount) for name, amount in _hard(quota).items()}
    return {"hard": hard, "used": {name: total(part[name] for part in parts if name in part) for name in hard}}


def changed_use(quota: Obj, kind: Resource, *, old: Obj | None, new: Obj | None) -> dict[str, str] | None:
    """What of a quota is used once `old` has become `new`; None: no more and no less than before."""
    before = {} if old is None else _part(kind, old, quota)
    after = {} if new is None else _part(kind, new, quota)
    if before == after:
        return None
    used = dict((quota.get("status") or {}).get("used") or {})
    for name in before.keys() | after.keys():
        used[name] = subtract(add(used.get(name, "0"), after.get(name, "0")), before.get(name, "0"))
    return used


def _hard(quota: Obj) -> Amounts:
    found: Amounts = (quota.get("spec") or {}).get("hard") or {}
    return found


def _part(kind: Resource, obj: Obj, quota: Obj) -> Amounts:
    """What `obj` uses of what the quota limits."""
    hard = _hard(quota)
    if not _can_count(kind, hard) or not covers(quota, kind, obj):
        return {}
    return {name: amount for name, amount in usage(kind, obj).items() if name in hard and parse(amount)}


def _can_count(kind: Resource, hard: Amounts) -> bool:
    """Whether objects of this kind may use any of `hard`: most changes are of other kinds."""
    if kind.kind == "Event":
        return False
    if kind.kind in ("Pod", "PersistentVolumeClaim"):
        return True
    return f"count/{kind.qualified}" in hard or (not kind.group and kind.plural in hard)


def _shown(amounts: Amounts, names: list[str]) -> str:
    return ",".join(f"{name}={canonical(amounts.get(name, '0'))}" for name in names)
