"""Errors of the Kubernetes API, named for what their caller does about them."""

from enum import StrEnum
from typing import Any


class KubernetesError(Exception):
    """Base of what k8s raises."""


class ConfigError(KubernetesError):
    """There is no usable kubeconfig or service account; the message says what is wrong with it."""


class Cause(StrEnum):
    """What an answer alone says of why a request was not carried out."""

    SERVER = "server"
    """The server takes nothing from us now: 429, 401."""
    NAMESPACE = "namespace"
    """The namespace is not there, or is being deleted."""
    PERMISSION = "permission"
    """RBAC does not let us do this, here or anywhere."""
    UNKNOWN = "unknown"
    """5xx, a timeout, no connection: the server may be away, or it may be this request alone."""


class Unavailable(KubernetesError):
    """Not now, and not said to be the request's fault: see `Cause`.

    `retry_after`: seconds that the server asks us to wait, None if it does not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, cause: Cause = Cause.UNKNOWN) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.cause = cause


class QuotaExceeded(KubernetesError):
    """403 of a ResourceQuota: the same request may pass later."""


class Refused(KubernetesError):
    """The server will never take this: 400, 413, 422, what admission denies, an object too large for its storage.

    `status` is the HTTP status, `causes` the server's `details.causes` as (field, message).
    """

    def __init__(self, message: str, *, status: int, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.causes = causes


class Conflict(KubernetesError):
    """409: the name exists already, or the object has changed since the version that was sent."""


class NotFound(KubernetesError):
    """404 of a named object."""


class Expired(KubernetesError):
    """410: the resourceVersion or continue token is too old; list again."""


class Malformed(KubernetesError):
    """The server's answer, or an object in it, is not what Kubernetes writes."""


class LeadershipLost(KubernetesError):
    """The Lease is no longer ours, or may have expired before a write would end."""


Manifest = dict[str, Any]
"""A Kubernetes object as JSON."""
Key = tuple[str, str]
"""Namespace and name of an object of some kind."""
