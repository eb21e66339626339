"""Quotas of how many objects of a kind a namespace may hold. CPU and memory are not counted."""

from collections.abc import Callable, Iterable

from k8s.devcluster.errors import forbidden
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.store.history import Version
from k8s.reading.quantity import parse


def check_quota(
    kind: Resource,
    obj: Obj,
    *,
    quotas: list[Obj],
    shelf: Callable[[str], Iterable[Version]],
) -> None:
    """ApiError 403 if another object of `kind` would exceed a quota of the namespace."""
    metadata = obj["metadata"]
    for quota in quotas:
        exceeded = []
        hard = (quota.get("spec") or {}).get("hard") or {}
        for name in _counted(kind):
            if name not in hard:
                continue
            used = sum(1 for version in shelf(metadata["namespace"]) if _counts(name, version))
            if used + 1 > parse(hard[name]):
                exceeded.append((name, used, hard[name]))
        if exceeded:
            why = (
                f"exceeded quota: {quota['metadata']['name']}"
                f", requested: {','.join(f'{name}=1' for name, _, _ in exceeded)}"
                f", used: {','.join(f'{name}={used}' for name, used, _ in exceeded)}"
                f", limited: {','.join(f'{name}={limit}' for name, _, limit in exceeded)}"
            )
            raise forbidden(kind, metadata.get("name", ""), why)


def _counted(kind: Resource) -> list[str]:
    """Names that count `kind` in quotas: `count/...` and, for core kinds, also the plural alone, such as `pods`."""
    names = [f"count/{kind.qualified}"]
    return names if kind.group else [*names, kind.plural]


def _counts(name: str, version: Version) -> bool:
    """A pod that has ended does not count against `pods`, but it does against `count/pods`."""
    return name != "pods" or version.fields["status.phase"] not in ("Succeeded", "Failed")
