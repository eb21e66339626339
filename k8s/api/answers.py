"""From a failed answer of the API server to one of our errors, which repeats no value. Pure: sends nothing."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from events.problems import MAX_ERRORS, brief
from k8s.base import Cause, Conflict, Expired, KubernetesError, NotFound, QuotaExceeded, Refused, Unavailable
from k8s.reading.said import without_values

_READ = 65_536
"""Bytes that are read of an answer that is no Status object, such as a page of a proxy's."""
# All are anchored: the server itself writes what a message begins with, what follows may quote the object.
_RBAC = re.compile(r'\S+(?: "[^"]*")? is forbidden: User "')
_QUOTA = re.compile(r'\S+(?: "[^"]*")? is forbidden: exceeded quota: ')
_DENIED = re.compile(
    r'admission webhook "[^"]*" denied the request'
    r"|.*? is (?:forbidden|invalid): (?:: )?ValidatingAdmissionPolicy '[^']*'(?: with binding '[^']*')? denied request"
)
"""What a webhook or a policy says with a status of its choice: whatever that is, it is about this request."""
_TOO_LARGE = re.compile(
    r"(?:Internal error occurred: )?(?:etcdserver: request is too large"
    r"|rpc error: code = \w+ desc = (?:grpc: )?(?:trying to send|received) message larger than max)"
)
"""What the server's storage says, with 500, of an object that it will never take."""


def failure(method: str, status: int, *, headers: Mapping[str, str], body: bytes) -> KubernetesError:
    """The error that an answer with `status` other than 2xx stands for. `headers`: by their names in lower case."""
    answer = _status_object(body)
    message = _message(status, answer, body)
    text = str(answer.get("message", ""))
    if _TOO_LARGE.match(text):
        return Refused(message, status=413)
    if _DENIED.match(text):
        return _denied(message, status, answer)
    if status in {401, 408, 429} or status >= 500 or status < 400:
        cause = Cause.SERVER if status in {401, 429} else Cause.UNKNOWN
        return Unavailable(message, retry_after=_retry_after(headers, answer), cause=cause)
    if status == 403:
        return _forbidden(message, answer)
    if status == 404:
        return _not_found(method, message, answer)
    if status == 409:
        return _conflict(method, message, answer)
    if status == 410:
        return Expired(message)
    return Refused(message, status=status, causes=_causes(answer))


def _denied(message: str, status: int, answer: dict[str, Any]) -> KubernetesError:
    if status == 429 or status >= 500:
        return Unavailable(message)  # It may take the same request another time. The server itself is well.
    # Its choice of 401, 404, 409 or 410 does not mean what these mean from the server.
    return Refused(message, status=status if status in {400, 413, 422} else 403, causes=_causes(answer))


def _forbidden(message: str, answer: dict[str, Any]) -> KubernetesError:
    text = str(answer.get("message", ""))
    if _has_cause(answer, "NamespaceTerminating"):
        return Unavailable(message, cause=Cause.NAMESPACE)
    if not answer:
        return Unavailable(message)  # From a proxy, not from Kubernetes.
    if _RBAC.match(text):
        return Unavailable(message, cause=Cause.PERMISSION)  # It is about us, not about the request.
    if _QUOTA.match(text):
        return QuotaExceeded(message)
    return Refused(message, status=403, causes=_causes(answer))


def _not_found(method: str, message: str, answer: dict[str, Any]) -> KubernetesError:
    details = _details(answer)
    if details.get("kind") == "namespaces":
        return Unavailable(message, cause=Cause.NAMESPACE)
    if method == "POST" or not details.get("name"):
        return Unavailable(message)
    return NotFound(message)


def _conflict(method: str, message: str, answer: dict[str, Any]) -> KubernetesError:
    if method == "POST" and answer.get("reason") == "Conflict":
        # Not about the name: two creates changed the same ResourceQuota at once.
        return Unavailable(message, retry_after=None)
    return Conflict(message)


def _status_object(body: bytes) -> dict[str, Any]:
    """The answer's Status object; empty for anything else, such as a proxy's HTML."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _message(status: int, answer: dict[str, Any], body: bytes) -> str:
    text = str(answer.get("message") or body[:_READ].decode(errors="replace"))
    return f"{status} {brief(' '.join(without_values(text).split()))}".rstrip()


def _details(answer: dict[str, Any]) -> dict[str, Any]:
    details = answer.get("details")
    return details if isinstance(details, dict) else {}


def _causes(answer: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """(field, message) of each, at most `MAX_ERRORS` of them."""
    causes = [cause for cause in _details(answer).get("causes") or () if isinstance(cause, dict)]
    told = [
        (str(cause.get("field", "")), brief(without_values(str(cause.get("message", "")))))
        for cause in causes[:MAX_ERRORS]
    ]
    if len(causes) > MAX_ERRORS:
        told.append(("", f"and {len(causes) - MAX_ERRORS} more errors"))
    return tuple(told)


def _has_cause(answer: dict[str, Any], reason: str) -> bool:
    causes = _details(answer).get("causes") or ()
    return any(isinstance(cause, dict) and cause.get("reason") == reason for cause in causes)


def _retry_after(headers: Mapping[str, str], answer: dict[str, Any]) -> float | None:
    """Seconds, from the header or the Status object. A date in the header is compared with the answer's own Date."""
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, until.total_seconds())
    except (ValueError, TypeError):
        seconds = _details(answer).get("retryAfterSeconds")
        return float(seconds) if isinstance(seconds, int) and seconds > 0 else None
