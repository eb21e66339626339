"""Server-side apply: merges what a manager wants into an object, and finds conflicts with others. Stores nothing."""

from copy import deepcopy
from typing import Any

from k8s.devcluster.api.fieldsets import FieldSet, Path, fields, is_merged, remove, shown, steps
from k8s.devcluster.api.managers import IDENTITY, UPDATE, Manager, Owners, differs, read_owners, settable, write_owners
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj, Resource

CONTENT_TYPE = "application/apply-patch+yaml"
# The owner of what nobody is known to have made.
_BEFORE = "before-first-apply"


def part(kind: Resource, applied: Obj, subresource: str | None) -> Obj:
    """What of `applied` counts at this address: the status, and nothing else, has one of its own."""
    if "status" not in kind.subresources:
        return applied
    if subresource != "status":
        return {name: found for name, found in applied.items() if name != "status"}
    metadata = {name: found for name, found in applied["metadata"].items() if name in IDENTITY}
    return {"metadata": metadata, "status": applied.get("status") or {}}


def created(applied: Obj, manager: Manager, *, at: str) -> Obj:
    """The new object of an apply to a name that does not exist."""
    obj = deepcopy(applied)
    write_owners(obj, {manager: fields(settable(applied))}, at=at, changed=manager)
    return obj


def applied_to(live: Obj, applied: Obj, manager: Manager, *, force: bool, at: str) -> Obj:
    """`live` after `manager` has applied `applied`. What it no longer applies is gone, unless another manager owns it.

    ApiError 409: another manager owns a field that would change, and not `force`.
    """
    owners = read_owners(live["metadata"].get("managedFields"), live)
    if not owners:
        owners[Manager(_BEFORE, UPDATE, live["apiVersion"])] = fields(settable(live))
    before = dict(owners)
    wanted = fields(settable(applied))
    merged: Obj = _merged("", live, applied)
    conflicts = _conflicts(owners, wanted, (live, merged), manager)
    if conflicts and not force:
        raise _refusal(conflicts)
    for other, paths in conflicts.items():
        owners[other] -= frozenset(paths)
    kept = wanted.union(*(owned for other, owned in owners.items() if other != manager))
    _prune(merged, owners.get(manager, frozenset()) - kept, kept)
    owners[manager] = wanted
    changed = merged != live or owners != before
    write_owners(merged, owners, at=at, changed=manager if changed else None)
    return merged


def _merged(name: str, live: Any, applied: Any) -> Any:
    """A deep copy of the field `name`, with everything that is applied."""
    if type(live) is not type(applied) or not is_merged(name, applied) or not is_merged(name, live):
        return deepcopy(applied)
    if isinstance(live, dict):
        merged = deepcopy({field: found for field, found in live.items() if field not in applied})
        return merged | {field: _merged(field, live.get(field), found) for field, found in applied.items()}
    there, wanted = steps(name, live), steps(name, applied)
    return [_merged("", there[part], wanted[part]) if part in wanted else deepcopy(there[part]) for part in there] + [
        deepcopy(item) for part, item in wanted.items() if part not in there
    ]


def _conflicts(
    owners: Owners, wanted: FieldSet, objects: tuple[Obj, Obj], manager: Manager
) -> dict[Manager, list[Path]]:
    """The fields of other managers that would change, by manager."""
    found = {
        other: [path for path in sorted(owned & wanted) if differs(*objects, path)]
        for other, owned in owners.items()
        if other != manager
    }
    return {other: paths for other, paths in found.items() if paths}


def _refusal(conflicts: dict[Manager, list[Path]]) -> ApiError:
    told = sorted((other.shown, shown(path)) for other, paths in conflicts.items() for path in paths)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {other}", "field": path} for other, path in told
    ]
    if len(told) == 1:
        text = f"1 conflict: conflict with {told[0][0]}: {told[0][1]}"
    else:
        lines = []
        for other in dict.fromkeys(other for other, _ in told):
            lines += [f"conflicts with {other}:", *(f"- {path}" for owner, path in told if owner == other)]
        text = f"{len(told)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", f"Apply failed with {text}", details={"causes": causes})


def _prune(obj: Obj, dropped: FieldSet, kept: FieldSet) -> None:
    """Remove the fields that nobody wants any more. An item of a list stays as long as a part of it is kept."""
    needed = {path[:end] for path in kept for end in range(1, len(path) + 1)}
    for path in sorted(dropped - needed):
        remove(obj, path)
