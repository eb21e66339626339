"""Lists: selection, paging, and their JSON. All pages of a list show the same version."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from k8s.devcluster.api.selectors import Selector
from k8s.devcluster.api.target import Target, number
from k8s.devcluster.errors import ApiError, bad_request, expired
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.history import Key, Version
from k8s.devcluster.store.store import Store

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list: its objects, and the metadata of the list."""

    versions: list[Version]
    metadata: Obj


def read_page(store: Store, target: Target, selector: Selector | None, query: Mapping[str, str]) -> Page:
    """ApiError 400 (bad parameters), 410 (the page is too old), 504 (the version does not exist yet)."""
    plural, asked = target.kind.plural, query.get("resourceVersion", "")
    limit = max(number(query, "limit", signed=True) or 0, 0)  # Below zero is no limit.
    token = query.get("continue")
    after: Key = ("", "")
    at = store.version
    if token:
        at, after = _decode(token)
    elif asked == "0":
        limit = 0  # Served from the cache, which has no pages.
    elif asked:
        at = _version_asked(store, asked, exact=query.get("resourceVersionMatch") == "Exact")
    try:
        found = store.shelf(plural).snapshot(target.namespace, at=at, after=after)
        selected = found if selector is None else filter(selector, found)
        return _cut(selected, limit=limit, at=at, counted=selector is None)
    except ApiError as error:
        raise expired(_TOO_OLD) if token and error.code == 410 else error from error


def write_page(target: Target, page: Page) -> bytes:
    """The list as JSON. In lists, Kubernetes leaves out kind and apiVersion of items."""
    kind, skipped = target.kind, len(target.kind.prefix)
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": page.metadata}
    items = b",".join([b"{" + version.data[skipped:] for version in page.versions])
    return orjson.dumps(head)[:-1] + b',"items":[' + items + b"]}"


def _cut(selected: Iterable[Version], *, limit: int, at: int, counted: bool) -> Page:
    metadata: Obj = {"resourceVersion": str(at)}
    if not limit:
        return Page(list(selected), metadata)
    versions: list[Version] = []
    remaining = 0
    for version in selected:
        if len(versions) < limit:
            versions.append(version)
            continue
        remaining += 1
        if not counted:
            break  # With a selector, the number of remaining items is not reported.
    if remaining:
        metadata["continue"] = _encode(at, versions[-1].key)
        if counted:
            metadata["remainingItemCount"] = remaining
    return Page(versions, metadata)


def _version_asked(store: Store, asked: str, *, exact: bool) -> int:
    if not asked.isdigit():
        raise bad_request(f'resourceVersion: Invalid value: "{asked}"')
    if int(asked) > store.version:
        message = f"Too large resource version: {asked}, current: {store.version}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        details = {"causes": [cause], "retryAfterSeconds": 1}
        raise ApiError(504, "Timeout", message, details=details, retry_after=1)
    return int(asked) if exact else store.version


def _encode(at: int, key: Key) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"rv": at, "start": key})).decode().rstrip("=")


def _decode(token: str) -> tuple[int, Key]:
    try:
        place = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = place["start"]
        return int(place["rv"]), (str(namespace), str(name))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid") from error
