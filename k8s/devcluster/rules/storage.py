"""Which PersistentVolumeClaims, Secrets and ConfigMaps, and which changes of them, the API accepts."""

from k8s.devcluster.errors import FieldError, forbidden_field, invalid, required, too_long, unsupported
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.names import config_key
from k8s.devcluster.rules.quantities import TOO_GREAT
from k8s.reading.quantity import LARGEST, parse

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
SIZE_LIMIT = 1024 * 1024
"""Bytes of data in a Secret or ConfigMap."""
_FREE = ("resources", "volumeName", "volumeAttributesClassName")


def new_claim(claim: Obj) -> list[FieldError]:
    return claim_spec(claim["spec"], "spec")


def changed_claim(new: Obj, old: Obj) -> list[FieldError]:
    """`volumeName` is set once, when the claim is bound."""
    before, after = old["spec"], new["spec"]
    renamed = before.get("volumeName") and after.get("volumeName") != before["volumeName"]
    if renamed or any(before.get(name) != after.get(name) for name in (before.keys() | after.keys()) - {*_FREE}):
        return [forbidden_field("spec", _IMMUTABLE)]
    return claim_spec(after, "spec")


def claim_spec(spec: Obj, field: str) -> list[FieldError]:
    """Errors of the spec of a claim, or of the template of an ephemeral volume."""
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
    elif parse(amount) > LARGEST:
        errors.append(invalid(f"{field}.resources[storage]", str(amount), TOO_GREAT))
    mode = spec.get("volumeMode")
    if mode not in (None, *_VOLUME_MODES):
        errors.append(unsupported(f"{field}.volumeMode", mode, _VOLUME_MODES))
    return errors


def data_rules(obj: Obj) -> list[FieldError]:
    errors = []
    for place in ("data", "binaryData"):
        for name in obj.get(place) or {}:
            errors += [invalid(f"{place}[{name}]", name, message) for message in config_key(name)]
    if _size(obj) > SIZE_LIMIT:
        errors.append(too_long("data", SIZE_LIMIT))
    return errors


def changed_data(new: Obj, old: Obj) -> list[FieldError]:
    """A Secret or ConfigMap that is `immutable` stays as it is, but for its metadata. A Secret keeps its type."""
    errors = []
    if new.get("type") != old.get("type"):
        errors.append(invalid("type", new.get("type"), "field is immutable"))
    if old.get("immutable"):
        changed = [name for name in ("data", "binaryData") if (new.get(name) or {}) != (old.get(name) or {})]
        places = [*([] if new.get("immutable") else ["immutable"]), *changed]
        errors += [forbidden_field(place, "field is immutable when `immutable` is set") for place in places]
    return errors + data_rules(new)


def _size(obj: Obj) -> int:
    """Bytes of all values, decoded where they are base64."""
    plain = obj.get("data") or {} if obj["kind"] == "ConfigMap" else {}
    encoded = obj.get("data") or {} if obj["kind"] == "Secret" else obj.get("binaryData") or {}
    return sum(len(text.encode()) for text in plain.values()) + sum(len(text) * 3 // 4 for text in encoded.values())
