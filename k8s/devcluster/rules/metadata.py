"""Which metadata the API accepts of objects of any kind. The syntax of names is in names.py."""

from k8s.devcluster.errors import (
    FieldError,
    forbidden_field,
    invalid,
    required,
    too_long,
)
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.rules.names import dns_label, label_value, qualified_name, subdomain

ANNOTATION_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")


def new_metadata(kind: Resource, metadata: Obj) -> list[FieldError]:
    name = metadata.get("name")
    errors = []
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        rule = dns_label if kind.kind == "Namespace" else subdomain
        errors += [invalid("metadata.name", name, message) for message in rule(name)]
    return errors + _given(metadata)


def changed_metadata(kind: Resource, new: Obj, old: Obj) -> list[FieldError]:
    if all(new.get(name) == old.get(name) for name in ("labels", "annotations", "finalizers", "ownerReferences")):
        return []
    # A real server checks metadata twice in an update, once for all kinds and once for this one, and tells both.
    errors = [error for error in _given(new) for _ in range(2)]
    added = [name for name in new.get("finalizers") or [] if name not in (old.get("finalizers") or [])]
    if "deletionTimestamp" in old and added:
        shown = ", ".join(f'"{name}"' for name in added)
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
        errors.append(forbidden_field("metadata.finalizers", why))
    return errors


def labels(found: dict[str, str], field: str) -> list[FieldError]:
    errors = []
    for name, value in found.items():
        errors += [invalid(field, name, message) for message in qualified_name(name)]
        errors += [invalid(field, value, message) for message in label_value(value)]
    return errors


def _given(metadata: Obj) -> list[FieldError]:
    errors = labels(metadata.get("labels") or {}, "metadata.labels")
    annotations = metadata.get("annotations") or {}
    for name in annotations:
        errors += [invalid("metadata.annotations", name, said) for said in qualified_name(name.lower())]
    size = sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items())
    if size > ANNOTATION_LIMIT:
        errors.append(too_long("metadata.annotations", ANNOTATION_LIMIT))
    errors += _finalizers(metadata.get("finalizers") or [])
    return errors + _owners(metadata.get("ownerReferences") or [])


def _finalizers(names: list[str]) -> list[FieldError]:
    errors = []
    for number, name in enumerate(names):
        errors += [invalid("metadata.finalizers", name, message) for message in qualified_name(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(f"metadata.finalizers[{number}]", name, why))
    return errors


def _owners(owners: list[Obj]) -> list[FieldError]:
    errors = []
    for number, owner in enumerate(owners):
        field = f"metadata.ownerReferences[{number}]"
        errors += [
            invalid(f"{field}.{name}", owner.get(name, ""), f"{name} must not be empty")
            for name in ("apiVersion", "kind", "name", "uid")
            if not owner.get(name)
        ]
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        why = "Only one reference can have Controller set to true."
        errors.append(invalid("metadata.ownerReferences", owners, why))
    return errors
