"""Who owns which fields of an object: its `managedFields`.

Whoever creates an object owns all of it. That is written without the fields, because most objects have one owner for
ever: they are spelled out when another manager comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s.devcluster.api.fieldsets import FieldSet, Path, as_json, fields, from_json, value
from k8s.devcluster.errors import bad_request
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.defaults import JOB_LABELS, JOB_PREFIX, PROTECTION

APPLY, UPDATE = "Apply", "Update"
# Not fields that anybody sets, but what identifies an object or the server fills in.
IDENTITY = {
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "name",
    "namespace", "resourceVersion", "uid",
}  # fmt: skip
_LONGEST_NAME = 128
_TEMPLATE = ("f:spec", "f:template", "f:metadata", "f:labels")
# What the server adds to an object: it belongs to nobody.
_ADDED: dict[str, tuple[Path, ...]] = {
    "Job": (
        ("f:spec", "f:selector"),
        *((*_TEMPLATE, f"f:{prefix}{name}") for prefix in ("", JOB_PREFIX) for name in JOB_LABELS),
    ),
    "Namespace": (("f:spec", "f:finalizers"),),
    "PersistentVolumeClaim": (("f:spec", "f:volumeName"), ("f:metadata", "f:finalizers", f'v:"{PROTECTION}"')),
    "Pod": tuple(
        ("f:spec", f"f:{name}")
        for name in ("nodeName", "preemptionPolicy", "priority", "serviceAccount", "serviceAccountName", "tolerations")
    ),
}


@dataclass(frozen=True, slots=True)
class Manager:
    """One who sets fields: by applying them, or by any other change. `subresource`: "" or "status"."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def shown(self) -> str:
        """As in messages about conflicts."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.operation == APPLY else f"{text} using {self.api_version}"


Owners = dict[Manager, FieldSet]


def manager_name(query: Mapping[str, str], user_agent: str) -> str:
    """The name of the manager of a change: `fieldManager`, else the program that sends it."""
    return query.get("fieldManager") or user_agent.partition("/")[0][:_LONGEST_NAME] or "unknown"


def settable(obj: Obj) -> Obj:
    """`obj` without what nobody manages."""
    metadata = {name: found for name, found in obj["metadata"].items() if name not in IDENTITY}
    rest = {name: found for name, found in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    return {"metadata": metadata, **rest} if metadata else rest


def read_owners(entries: list[Obj] | None, obj: Obj) -> Owners:
    """The owners in the `managedFields` of `obj`."""
    return {
        _manager(entry): from_json(entry["fieldsV1"]) if entry["fieldsV1"] else _made(obj) for entry in entries or []
    }


def _made(obj: Obj) -> FieldSet:
    """What whoever made `obj` has set, or left to its defaults."""
    added = (("f:status",), *_ADDED.get(obj["kind"], ()))
    return frozenset(path for path in fields(settable(obj)) if not any(path[: len(by)] == by for by in added))


def note_creation(obj: Obj, manager: Manager, *, at: str) -> None:
    """Make `manager` the owner of all of a new object."""
    obj["metadata"]["managedFields"] = [_entry(manager, frozenset(), at)]


def write_owners(obj: Obj, owners: Owners, *, at: str, changed: Manager | None) -> None:
    """Put `owners` into `obj`. The entry of `changed` gets the time `at`; others keep theirs, if they have one."""
    times = {_manager(entry): entry["time"] for entry in obj["metadata"].get("managedFields") or []}
    obj["metadata"]["managedFields"] = [
        _entry(manager, owned, at if manager == changed else times.get(manager, at))
        for manager, owned in sorted(owners.items(), key=lambda item: (item[0].operation, item[0].name))
        if owned
    ]


def note_update(new: Obj, old: Obj, manager: Manager, *, at: str) -> None:
    """Make `manager` the only owner of what an update changed, unless nobody knows who made the object."""
    entries = new["metadata"].get("managedFields") or []
    if not entries or [_manager(entry) for entry in entries if not entry["fieldsV1"]] == [manager]:
        return
    owners = read_owners(entries, old)
    before, after = settable(old), settable(new)
    had, has = fields(before), fields(after)
    changed = frozenset(path for path in has if path not in had or differs(before, after, path))
    owners = {other: owned - changed - (had - has) for other, owned in owners.items()}
    if changed:
        owners[manager] = owners.get(manager, frozenset()) | changed
    write_owners(new, owners, at=at, changed=manager if changed else None)


def differs(one: Any, other: Any, path: tuple[str, ...]) -> bool:
    """Whether the values at a leaf differ. Items of lists have no value of their own."""
    return path[-1].startswith("f:") and value(one, path) != value(other, path)


def _entry(manager: Manager, owned: FieldSet, time: str) -> Obj:
    return {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": as_json(owned),
        **({"subresource": manager.subresource} if manager.subresource else {}),
    }


def given_entries(given: Any) -> list[Obj]:
    """The `managedFields` that a client sends. One empty entry stands for none, as in Kubernetes. ApiError 400."""
    if given in (None, [], [{}]):
        return []
    names = ("manager", "operation", "apiVersion", "time")
    for entry in given if isinstance(given, list) else [None]:
        if (
            not isinstance(entry, dict)
            or not all(isinstance(entry.get(name), str) for name in names)
            or entry["operation"] not in (APPLY, UPDATE)
            or not isinstance(entry.get("fieldsV1"), dict)
        ):
            raise bad_request(f"metadata.managedFields: each entry has {', '.join(names)} and fieldsV1")
    entries: list[Obj] = given
    return entries


def _manager(entry: Obj) -> Manager:
    return Manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))
