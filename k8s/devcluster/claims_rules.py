"""Which PersistentVolumeClaims, and which changes of one, the API accepts."""

from k8s.devcluster.errors import FieldError, forbidden_field, invalid, required, unsupported
from k8s.devcluster.resources import Obj
from k8s.reading.quantity import parse

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_FREE = ("resources", "volumeName", "volumeAttributesClassName")


def new_claim(claim: Obj) -> list[FieldError]:
    return claim_spec(claim["spec"], "spec")


def changed_claim(new: Obj, old: Obj) -> list[FieldError]:
    """The volume's name is written once, when the claim is bound."""
    before, after = old["spec"], new["spec"]
    renamed = before.get("volumeName") and after.get("volumeName") != before["volumeName"]
    if renamed or any(before.get(name) != after.get(name) for name in (before.keys() | after.keys()) - {*_FREE}):
        return [forbidden_field("spec", _IMMUTABLE)]
    return claim_spec(after, "spec")


def claim_spec(spec: Obj, field: str) -> list[FieldError]:
    """Of a claim, and of the template of an ephemeral volume."""
    errors = []
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{field}.accessModes", "at least 1 access mode is required"))
    errors += [unsupported(f"{field}.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if amount is None:
        errors.append(required(f"{field}.resources[storage]"))
    elif parse(amount) <= 0:
        errors.append(invalid(f"{field}.resources[storage]", str(amount), "must be greater than zero"))
    mode = spec.get("volumeMode")
    if mode not in (None, *_VOLUME_MODES):
        errors.append(unsupported(f"{field}.volumeMode", mode, _VOLUME_MODES))
    return errors
