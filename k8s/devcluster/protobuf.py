"""The little protobuf that `kubectl create` sends: the fields those commands set. Anything else is refused by name."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s.devcluster.errors import ApiError, bad_request
from k8s.devcluster.resources import Obj

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _BYTES = 0, 2


@dataclass(frozen=True, slots=True)
class Field:
    """`type`: text, bytes, int, bool, skip, or a message's name; maps are lists of their key-value entries."""

    name: str
    type: str = "text"
    shape: str = "one"  # one, list, map


# Numbers as in the API's generated.proto files.
_MESSAGES: dict[str, dict[int, Field]] = {
    "Unknown": {1: Field("typeMeta", "TypeMeta"), 2: Field("raw", "bytes"), 3: Field("", "skip"), 4: Field("", "skip")},
    "TypeMeta": {1: Field("apiVersion"), 2: Field("kind")},
    "ObjectMeta": {
        1: Field("name"), 2: Field("generateName"), 3: Field("namespace"), 4: Field("", "skip"), 5: Field("uid"),
        6: Field("resourceVersion"), 7: Field("", "skip"), 8: Field("", "skip"),
        11: Field("labels", "text", "map"), 12: Field("annotations", "text", "map"),
        13: Field("ownerReferences", "OwnerReference", "list"), 14: Field("finalizers", "text", "list"),
    },
    "OwnerReference": {
        1: Field("kind"), 3: Field("name"), 4: Field("uid"), 5: Field("apiVersion"), 6: Field("controller", "bool"),
        7: Field("blockOwnerDeletion", "bool"),
    },
    "Job": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "JobSpec"), 3: Field("", "skip")},
    "JobSpec": {
        1: Field("parallelism", "int"), 2: Field("completions", "int"), 3: Field("activeDeadlineSeconds", "int"),
        6: Field("template", "PodTemplateSpec"), 7: Field("backoffLimit", "int"),
        8: Field("ttlSecondsAfterFinished", "int"), 9: Field("completionMode"), 10: Field("suspend", "bool"),
    },
    "PodTemplateSpec": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "PodSpec")},
    "PodSpec": {
        2: Field("containers", "Container", "list"), 3: Field("restartPolicy"),
        4: Field("terminationGracePeriodSeconds", "int"), 5: Field("activeDeadlineSeconds", "int"),
        6: Field("dnsPolicy"), 7: Field("nodeSelector", "text", "map"), 8: Field("serviceAccountName"),
        9: Field("serviceAccount"), 10: Field("nodeName"), 11: Field("hostNetwork", "bool"),
        12: Field("hostPID", "bool"), 13: Field("hostIPC", "bool"), 16: Field("hostname"), 17: Field("subdomain"),
        19: Field("schedulerName"), 24: Field("priorityClassName"),
    },
    "Container": {
        1: Field("name"), 2: Field("image"), 3: Field("command", "text", "list"), 4: Field("args", "text", "list"),
        5: Field("workingDir"), 7: Field("env", "EnvVar", "list"), 8: Field("", "skip"),
        13: Field("terminationMessagePath"), 14: Field("imagePullPolicy"), 16: Field("stdin", "bool"),
        17: Field("stdinOnce", "bool"), 18: Field("tty", "bool"), 20: Field("terminationMessagePolicy"),
    },
    "EnvVar": {1: Field("name"), 2: Field("value")},
    "Secret": {
        1: Field("metadata", "ObjectMeta"), 2: Field("data", "bytes", "map"), 3: Field("type"),
        4: Field("stringData", "text", "map"), 5: Field("immutable", "bool"),
    },
    "ConfigMap": {
        1: Field("metadata", "ObjectMeta"), 2: Field("data", "text", "map"), 3: Field("binaryData", "bytes", "map"),
        4: Field("immutable", "bool"),
    },
    "Namespace": {1: Field("metadata", "ObjectMeta"), 2: Field("", "skip"), 3: Field("", "skip")},
    "ResourceQuota": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "QuotaSpec"), 3: Field("", "skip")},
    "QuotaSpec": {1: Field("hard", "Quantity", "map"), 2: Field("scopes", "text", "list")},
    "Quantity": {1: Field("string")},
    "ServiceAccount": {1: Field("metadata", "ObjectMeta")},
}  # fmt: skip


def read_object(raw: bytes) -> Obj:
    """The object in a Kubernetes protobuf envelope. ApiError 400: malformed; 415: a field that is not known here."""
    if not raw.startswith(_MAGIC):
        raise bad_request("the body is not Kubernetes protobuf: it does not start with its magic number")
    try:
        envelope = _message("Unknown", raw[len(_MAGIC) :])
        about = envelope.get("typeMeta", {})
        if about.get("kind") not in _MESSAGES:
            raise _unreadable(str(about.get("kind")))
        obj: Obj = about | _message(about["kind"], base64.b64decode(envelope["raw"]))
        return obj
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise bad_request("the body is not valid protobuf") from error


def _message(name: str, raw: bytes) -> Obj:
    known = _MESSAGES[name]
    obj: Obj = {}
    for number, value in _fields(raw):
        field = known.get(number)
        if field is None:
            raise _unreadable(f"field {number} of {name}")
        if field.type != "skip":
            _set(obj, field, value)
    return obj


def _set(obj: Obj, field: Field, value: Any) -> None:
    if field.shape == "map":
        entry = dict(_fields(value))
        key = entry.get(1, b"").decode()
        item = _convert(field, entry.get(2, b""))
        obj.setdefault(field.name, {})[key] = item["string"] if field.type == "Quantity" else item
    elif field.shape == "list":
        obj.setdefault(field.name, []).append(_convert(field, value))
    else:
        converted = _convert(field, value)
        # Fields that are no pointers are always sent: empty means not set.
        if converted not in ("", False):
            obj[field.name] = converted


def _convert(field: Field, value: Any) -> Any:
    if field.type == "text":
        return value.decode()
    if field.type == "bytes":
        return base64.b64encode(value).decode()
    if field.type == "bool":
        return bool(value)
    if field.type == "int":
        return value - (1 << 64) if value >> 63 else value
    return _message(field.type, value)


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Field number and value: an int, or the bytes of text, bytes and messages."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
        elif wire == _BYTES:
            length, at = _varint(raw, at)
            if at + length > len(raw):
                raise IndexError(at)
            yield number, raw[at : at + length]
            at += length
        else:
            raise _unreadable(f"wire type {wire}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _unreadable(what: str) -> ApiError:
    message = f"this server does not read {what} in {CONTENT_TYPE}: send application/json"
    return ApiError(415, "UnsupportedMediaType", message)
