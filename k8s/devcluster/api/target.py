"""What a request is about: parses its path, verb and options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s.devcluster.errors import ApiError, bad_request, forbidden_field, invalid, required
from k8s.devcluster.resources import POD_METRICS, RESOURCES, Obj, Resource

_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
LONGEST_MANAGER = 128
_ITEM = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """`namespace` None: all namespaces. `name` None: the collection."""

    kind: Resource
    namespace: str | None
    name: str | None
    subresource: str | None

    @property
    def place(self) -> str:
        """The namespace in the store, which keeps cluster-scoped objects under ""."""
        return self.namespace or ""


def parse_path(path: str) -> Target | None:
    """None: it is the path of no resource of this server."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in RESOURCES["namespaces"].subresources:
        namespace, rest = rest[1], rest[2:]
    kind = POD_METRICS if group == POD_METRICS.group else RESOURCES.get(rest[0])
    if kind is None or kind.plural != rest[0] or kind.group != group or kind.version != version or len(rest) > 3:
        return None
    name = rest[1] if len(rest) > 1 else None
    subresource = rest[2] if len(rest) > 2 else None
    if subresource is not None and subresource not in kind.subresources:
        return None
    if kind.namespaced is (namespace is None) and not (kind.namespaced and name is None):
        return None
    return Target(kind, namespace, name, subresource)


def verb(target: Target, method: str, query: Mapping[str, str]) -> str:
    """The verb, in the words of Kubernetes' authorization. ApiError 405."""
    verbs = _COLLECTION if target.name is None else _ITEM
    if target.subresource == "eviction":
        verbs = {"POST": "create"}
    found = verbs.get(method, "")
    if found == "list" and flag(query, "watch"):
        found = "watch"
    if found not in target.kind.verbs or (found == "create" and target.kind.namespaced and target.namespace is None):
        message = "the server does not allow this method on the requested resource"
        raise ApiError(405, "MethodNotAllowed", message, details={})
    return found


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true", "t")


def number(query: Mapping[str, str], name: str, *, signed: bool = False) -> int | None:
    """The number, if it is given. ApiError 400: it is no whole number, or it is negative and not `signed`."""
    text = query.get(name)
    if text is None or text == "":
        return None
    if not (text.isascii() and (text.removeprefix("-") if signed else text).isdigit()):
        raise bad_request(f'unable to convert "{text}" of query parameter {name} to a number')
    return int(text)


def dry_run(query: Mapping[str, str], body: Mapping[str, Any]) -> bool:
    asked = query.get("dryRun") or (body.get("dryRun") or [""])[0]
    if asked not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: "{asked}": supported values: "All"')
    return asked == "All"


def check_apply_options(query: Mapping[str, str], *, apply: bool) -> None:
    """Of a PATCH. ApiError 422: server-side apply without `fieldManager`, or another patch with `force`."""
    if apply and not query.get("fieldManager"):
        told = required("fieldManager", "is required for apply patch")
    elif not apply and query.get("force"):
        told = forbidden_field("force", "may not be specified for non-apply patch")
    elif len(query.get("fieldManager", "")) > LONGEST_MANAGER:
        told = invalid("fieldManager", query["fieldManager"], f"may not be longer than {LONGEST_MANAGER}")
    else:
        return
    cause = {"reason": told.reason, "message": told.message, "field": told.field}
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
    message = f'PatchOptions.meta.k8s.io "" is invalid: {told.field}: {told.message}'
    raise ApiError(422, "Invalid", message, details=details)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    propagation: str | None
    grace: int | None
    uid: str | None
    resource_version: str | None
    dry_run: bool

    @classmethod
    def parse(cls, query: Mapping[str, str], body: Obj) -> "DeleteOptions":
        """From the body, else from the query."""
        grace = body.get("gracePeriodSeconds", number(query, "gracePeriodSeconds"))
        conditions = body.get("preconditions") or {}
        propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or None
        orphan = body.get("orphanDependents", query.get("orphanDependents"))
        if propagation is None and orphan is not None:
            propagation = "Orphan" if orphan in (True, "true") else "Background"
        return cls(
            propagation=propagation,
            grace=grace,
            uid=conditions.get("uid"),
            resource_version=conditions.get("resourceVersion"),
            dry_run=dry_run(query, body),
        )
