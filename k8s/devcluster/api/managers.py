"""Who owns which fields of an object: its `managedFields`, which are kept from its first server-side apply on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s.devcluster.api.fieldsets import FieldSet, as_json, fields, from_json, value
from k8s.devcluster.resources import Obj

APPLY, UPDATE = "Apply", "Update"
# Not fields that anybody sets, but what identifies an object or the server fills in.
IDENTITY = {
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "name",
    "namespace", "resourceVersion", "uid",
}  # fmt: skip
_LONGEST_NAME = 128


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


def read_owners(obj: Obj) -> Owners:
    return {_manager(entry): from_json(entry["fieldsV1"]) for entry in obj["metadata"].get("managedFields") or []}


def write_owners(obj: Obj, owners: Owners, *, at: str, changed: Manager | None) -> None:
    """Put `owners` into `obj`. The entry of `changed` gets the time `at`; others keep theirs, if they have one."""
    times = {_manager(entry): entry["time"] for entry in obj["metadata"].get("managedFields") or []}
    obj["metadata"]["managedFields"] = [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": at if manager == changed else times.get(manager, at),
            "fieldsType": "FieldsV1",
            "fieldsV1": as_json(owned),
            **({"subresource": manager.subresource} if manager.subresource else {}),
        }
        for manager, owned in sorted(owners.items(), key=lambda item: (item[0].operation, item[0].name))
        if owned
    ]


def note_update(new: Obj, old: Obj, manager: Manager, *, at: str) -> None:
    """Make `manager` the only owner of what an update changed. Does nothing if `old` has never been applied."""
    owners = read_owners(old)
    if not owners:
        return
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


def _manager(entry: Obj) -> Manager:
    return Manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))
