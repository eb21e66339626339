"""Lists and watches on the wire; the objects in them stay raw. Sends nothing."""

import msgspec
from msgspec import Raw, Struct

from events.problems import brief
from k8s.api.answers import failure
from k8s.base import Expired, KubernetesError, Malformed


class ListMetadata(Struct, gc=False, rename="camel"):
    """`continue_` is empty on the last page."""

    resource_version: str
    continue_: str = msgspec.field(default="", name="continue")


class Page(Struct):
    """One page of a list."""

    metadata: ListMetadata
    items: list[Raw] | None = None


class WatchEvent(Struct):
    """One line of a watch. `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Raw


class ObjectMeta(Struct, gc=False, rename="camel"):
    """The part of an object's metadata that is read even if the rest is malformed."""

    resource_version: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    finalizers: list[str] | None = None


class _Object(Struct, gc=False):
    metadata: ObjectMeta


_PAGE = msgspec.json.Decoder(Page)
_EVENT = msgspec.json.Decoder(WatchEvent)
_OBJECT = msgspec.json.Decoder(_Object)


def decode_page(answer: bytes) -> Page:
    """Raises `Malformed`."""
    try:
        return _PAGE.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"the answer is no list: {error}")) from error


def decode_event(line: bytes) -> WatchEvent:
    """Raises `Malformed` if it is no event. For an ERROR event raises `Expired` if it means that, else `Malformed`."""
    try:
        event = _EVENT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"the watch sent what is no event: {error}")) from error
    if event.type == "ERROR":
        raise _reported(bytes(event.object))
    return event


def read_meta(answer: bytes | Raw) -> ObjectMeta:
    """Raises `Malformed` if the metadata is not readable."""
    try:
        return _OBJECT.decode(answer).metadata
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"the answer is no Kubernetes object: {error}")) from error


def meta_or_empty(raw: Raw) -> ObjectMeta:
    """What `read_meta` returns; all empty if it is not readable."""
    try:
        return read_meta(raw)
    except Malformed:
        return ObjectMeta()


def _reported(status: bytes) -> KubernetesError:
    """The object of an ERROR event is a Status, which a failed answer would have as its body."""
    try:
        code = msgspec.json.decode(status)["code"]
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        code = None
    if code == 410:
        return Expired("the watched version is too old")
    text = failure("GET", code if isinstance(code, int) else 500, headers={}, body=status)
    return Malformed(f"the watch reports: {text}")
