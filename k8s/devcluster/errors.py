"""The errors of the API, and their Kubernetes `Status` bodies."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from k8s.devcluster.resources import Resource


class ApiError(Exception):
    """A request failed. `status()`: Kubernetes' body for it. `code`: the HTTP status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.metadata = metadata or {}

    def status(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


@dataclass(frozen=True, slots=True)
class FieldError:
    """A cause of a 422. `reason`: that of `details.causes[].reason`."""

    reason: str
    field: str
    message: str


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


def unsupported(field: str, value: Any, allowed: Iterable[str]) -> FieldError:
    names = ", ".join(f'"{name}"' for name in allowed)
    message = f"Unsupported value: {_shown(value)}: supported values: {names}"
    return FieldError("FieldValueNotSupported", field, message)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    return FieldError("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} items")


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def not_found(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_details(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, why: str = MODIFIED, *, named: str | None = None) -> ApiError:
    """`named`: what the kind is called here, if not by its plural."""
    what = named or resource.plural
    qualified = f"{what}.{resource.group}" if resource.group else what
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(resource, name) | {"kind": what})


def forbidden(resource: Resource, name: str, why: str, *, causes: list[dict[str, str]] | None = None) -> ApiError:
    details: dict[str, Any] = _details(resource, name)
    if causes:
        details["causes"] = causes
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, details=details)


def unprocessable(resource: Resource, name: str, errors: list[FieldError]) -> ApiError:
    """422 with all field errors. Like Kubernetes, it repeats no message."""
    told = list(dict.fromkeys(f"{error.field}: {error.message}" for error in errors))
    text = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: dict[str, Any] = {"name": name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.kind
    details["causes"] = [{"reason": error.reason, "message": error.message, "field": error.field} for error in errors]
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details=details)


def expired(message: str, *, metadata: dict[str, Any] | None = None) -> ApiError:
    return ApiError(410, "Expired", message, metadata=metadata)


def success(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """The body of a DELETE that removed the object at once."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": _details(resource, name) | {"uid": uid},
    }


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details
