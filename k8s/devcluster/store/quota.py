"""Counting quotas: how many objects of a kind a namespace may hold. Amounts of CPU or memory are not counted."""

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
    """ApiError 403 when one more object of `kind` exceeds one of the namespace's quotas."""
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
    """`pods` and `secrets` have two names: the old one, and `count/...` as every kind has."""
    names = [f"count/{kind.qualified}"]
    return names if kind.group else [*names, kind.plural]


def _counts(name: str, version: Version) -> bool:
    """A pod that ended no longer counts against `pods`, but it does against `count/pods`."""
    return name != "pods" or version.fields["status.phase"] not in ("Succeeded", "Failed")
