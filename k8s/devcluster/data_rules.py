"""Which Secrets and ConfigMaps the API accepts: keys and size."""

from k8s.devcluster.errors import FieldError, invalid, too_long
from k8s.devcluster.names_rules import config_key
from k8s.devcluster.resources import Obj

SIZE_LIMIT = 1024 * 1024


def data_rules(obj: Obj) -> list[FieldError]:
    errors = []
    for place in ("data", "binaryData"):
        for name in obj.get(place) or {}:
            errors += [invalid(f"{place}[{name}]", name, message) for message in config_key(name)]
    if _size(obj) > SIZE_LIMIT:
        errors.append(too_long("data", SIZE_LIMIT))
    return errors


def _size(obj: Obj) -> int:
    """Bytes of all values, decoded where they are base64."""
    plain = obj.get("data") or {} if obj["kind"] == "ConfigMap" else {}
    encoded = obj.get("data") or {} if obj["kind"] == "Secret" else obj.get("binaryData") or {}
    return sum(len(text.encode()) for text in plain.values()) + sum(len(text) * 3 // 4 for text in encoded.values())
