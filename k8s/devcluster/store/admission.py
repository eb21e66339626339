"""Prepares and validates objects on their way into the store: metadata, defaults of each kind. Stores nothing."""

import random
import uuid
from base64 import b64encode
from collections.abc import Callable

from k8s.devcluster.errors import FieldError, bad_request, unprocessable
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.rules.cronjobs import changed_cron_job, new_cron_job
from k8s.devcluster.rules.defaults import default_claim, default_cron_job, default_job, default_pod
from k8s.devcluster.rules.jobs import changed_job, new_job
from k8s.devcluster.rules.leases import lease_rules
from k8s.devcluster.rules.limitranges import default_limit_range, limit_range_rules
from k8s.devcluster.rules.metadata import changed_metadata, new_metadata
from k8s.devcluster.rules.pods import changed_pod, new_pod
from k8s.devcluster.rules.quotas import changed_quota, quota_rules
from k8s.devcluster.rules.storage import changed_claim, changed_data, data_rules, new_claim
from k8s.devcluster.store.deletion import now, timestamp

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_GIVEN = ("labels", "annotations", "ownerReferences", "finalizers")
_MANAGED = "managedFields"
_KEPT = ("name", "generateName", "namespace", "uid")
_DELETION = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")

_Rule = Callable[[Obj], list[FieldError]]
_Comparison = Callable[[Obj, Obj], list[FieldError]]
_NEW: dict[str, _Rule] = {
    "Job": new_job, "CronJob": new_cron_job, "Pod": new_pod, "Secret": data_rules, "ConfigMap": data_rules,
    "PersistentVolumeClaim": new_claim, "Lease": lease_rules,
    "LimitRange": limit_range_rules, "ResourceQuota": quota_rules,
}  # fmt: skip
_CHANGED: dict[str, _Comparison] = {
    "Job": changed_job, "CronJob": changed_cron_job, "Pod": changed_pod, "PersistentVolumeClaim": changed_claim,
    "LimitRange": lambda new, _old: limit_range_rules(new), "ResourceQuota": changed_quota,
    "Lease": lambda new, _old: lease_rules(new), "Secret": changed_data, "ConfigMap": changed_data,
}  # fmt: skip
_PARTS = {"Secret": ("data", "type", "immutable"), "ConfigMap": ("data", "binaryData", "immutable")}
"""What of a kind its comparison is about; of all others, the spec."""
_DEFAULTS = {
    "Job": default_job, "CronJob": default_cron_job, "Pod": default_pod, "PersistentVolumeClaim": default_claim,
    "LimitRange": default_limit_range,
}  # fmt: skip


def generated_name(prefix: str) -> str:
    """`prefix`, cut so that the name is a valid label value, and five random characters."""
    return prefix[:58] + "".join(random.choices(_SUFFIX, k=5))  # noqa: S311 names, not secrets


def prepare_create(kind: Resource, obj: Obj) -> None:
    """Complete `obj` in place: name, uid, times, defaults, initial status. ApiError 400."""
    given = obj["metadata"]
    if given.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if not given.get("name") and given.get("generateName"):
        given["name"] = generated_name(given["generateName"])
    metadata: Obj = {name: given[name] for name in _KEPT[:3] if given.get(name)}
    metadata["uid"] = str(uuid.uuid4())
    if kind.generation:
        metadata["generation"] = 1
    metadata["creationTimestamp"] = timestamp(now())
    metadata |= {name: given[name] for name in (*_GIVEN, _MANAGED) if given.get(name)}
    obj["metadata"] = metadata
    obj["kind"], obj["apiVersion"] = kind.kind, kind.api_version
    _default(kind, obj, new=True)


def validate_create(kind: Resource, obj: Obj) -> None:
    """ApiError 422 with all errors."""
    errors = new_metadata(kind, obj["metadata"])
    if kind.kind in _NEW:
        errors += _NEW[kind.kind](obj)
    if errors:
        raise unprocessable(kind, obj["metadata"].get("name", ""), errors)


def prepare_update(kind: Resource, new: Obj, old: Obj, *, subresource: str | None) -> Obj:
    """The object after an update with `new`, with defaults: only what this kind of update may change differs."""
    given, before = new["metadata"], old["metadata"]
    owners = given.get(_MANAGED, before.get(_MANAGED))
    managed = {_MANAGED: owners} if owners else {}
    if subresource == "status":
        kept = {name: found for name, found in before.items() if name != _MANAGED}
        return old | {"metadata": kept | managed, "status": new.get("status") or {}}
    metadata: Obj = {name: before[name] for name in _KEPT if name in before}
    if "generation" in before:
        metadata["generation"] = before["generation"]
    metadata |= {name: before[name] for name in _DELETION if name in before}
    metadata |= {name: given[name] for name in _GIVEN if given.get(name)} | managed
    new = {"kind": kind.kind, "apiVersion": kind.api_version} | new | {"metadata": metadata}
    new["kind"], new["apiVersion"] = kind.kind, kind.api_version
    if "status" in kind.subresources:
        new["status"] = old.get("status", {})
    _default(kind, new, new=False)
    if kind.generation and _counted_spec(new) != _counted_spec(old):
        metadata["generation"] = before.get("generation", 0) + 1
    return new


def validate_update(kind: Resource, new: Obj, old: Obj, *, subresource: str | None) -> None:
    """ApiError 422: immutable fields have changed, or values are not valid."""
    if subresource == "status":
        return
    errors = changed_metadata(kind, new["metadata"], old["metadata"])
    parts = _PARTS.get(kind.kind, ("spec",))
    if kind.kind in _CHANGED and any(new.get(part) != old.get(part) for part in parts):
        errors += _CHANGED[kind.kind](new, old)
    if errors:
        raise unprocessable(kind, old["metadata"]["name"], errors)


def _counted_spec(obj: Obj) -> Obj:
    """The part of the spec that counts for the generation: being scheduled to a node does not."""
    return {name: value for name, value in obj["spec"].items() if name != "nodeName"}


def _default(kind: Resource, obj: Obj, *, new: bool) -> None:
    if kind.kind in _DEFAULTS:
        _DEFAULTS[kind.kind](obj, new=new)
    elif new and kind.kind == "Namespace":
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
    elif new and kind.kind == "ResourceQuota":
        obj["status"] = {}
    elif kind.kind == "Secret":
        _default_secret(obj)
    elif kind.kind == "Node":
        obj.setdefault("spec", {})


def _default_secret(secret: Obj) -> None:
    """`stringData` is write-only: it goes into `data`."""
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {name: b64encode(text.encode()).decode() for name, text in plain.items()}
        secret["data"] = (secret.get("data") or {}) | encoded
    secret.setdefault("type", "Opaque")
