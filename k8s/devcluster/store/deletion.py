"""What a DELETE does to an object: timestamps, grace periods, finalizers of the collector. Pure; removes nothing."""

from datetime import UTC, datetime, timedelta

from k8s.devcluster.errors import ApiError, conflict
from k8s.devcluster.resources import Obj, Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
POLICIES = ("Background", "Foreground", "Orphan")


def now() -> datetime:
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 with whole seconds, the API's format."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def uid_mismatch(uid: str, obj: Obj) -> str:
    return f"Precondition failed: UID in precondition: {uid}, UID in object meta: {obj['metadata']['uid']}"


def check_preconditions(kind: Resource, obj: Obj, *, uid: str | None, resource_version: str | None) -> None:
    """ApiError 409 unless `obj` is the object that the caller means."""
    metadata = obj["metadata"]
    for field, name, asked, may in (
        ("UID", "uid", uid, "deleted and then recreated"),
        ("ResourceVersion", "resourceVersion", resource_version, "modified"),
    ):
        if asked and asked != metadata[name]:
            why = (
                f"the {field} in the precondition ({asked}) does not match the {field} in record ({metadata[name]}). "
                f"The object might have been {may}"
            )
            raise conflict(kind, metadata["name"], why, named=kind.kind)


def is_over(obj: Obj) -> bool:
    """Whether it is deleted, and nothing keeps it any more."""
    metadata = obj["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (obj["kind"] == "Namespace" and obj["spec"].get("finalizers"))
    )


def marked(kind: Resource, obj: Obj, *, propagation: str | None, grace: int | None) -> Obj:
    """Change `obj` in place to what it is after this DELETE, and return it. It may have been deleted before."""
    metadata = obj["metadata"]
    seconds = _grace(kind, obj, grace)
    first = "deletionTimestamp" not in metadata
    if first or seconds < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = timestamp(now() + timedelta(seconds=seconds))
        if kind.kind != "Namespace":
            metadata["deletionGracePeriodSeconds"] = seconds
        if first and metadata.get("generation"):
            metadata["generation"] += 1
    _hold(kind, metadata, propagation)
    if kind.kind == "Namespace":
        obj.setdefault("status", {})["phase"] = "Terminating"
    return obj


def _grace(kind: Resource, obj: Obj, asked: int | None) -> int:
    """Only pods have a grace period, and only if they may have processes to terminate."""
    if kind.kind != "Pod":
        return 0
    spec, status = obj["spec"], obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    given = spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked
    return max(int(given), 0)


def _hold(kind: Resource, metadata: Obj, propagation: str | None) -> None:
    finalizers = list(metadata.get("finalizers") or [])
    if propagation is None:
        if FOREGROUND in finalizers or ORPHAN in finalizers:
            return
        # By default only Jobs orphan their pods: in batch/v1 it has always been like that.
        propagation = "Orphan" if kind.kind == "Job" else "Background"
    if propagation not in POLICIES:
        allowed = ", ".join(f'"{name}"' for name in POLICIES)
        why = f'Unsupported value: "{propagation}": supported values: {allowed}'
        cause = {"reason": "FieldValueNotSupported", "message": why, "field": "propagationPolicy"}
        details = {"group": "meta.k8s.io", "kind": "DeleteOptions", "causes": [cause]}
        message = f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: {why}'
        raise ApiError(422, "Invalid", message, details=details)
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation)
    kept = [name for name in finalizers if name not in (FOREGROUND, ORPHAN) or name == wanted]
    if wanted and wanted not in kept:
        kept.append(wanted)
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)
