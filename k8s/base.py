"""Errors of the Kubernetes API, named for what their caller does about them."""

from typing import Any


class KubernetesError(Exception):
    """Base of what k8s raises."""


class ConfigError(KubernetesError):
    """There is no usable kubeconfig or service account; the message says what is wrong with it."""


class Unavailable(KubernetesError):
    """Not now, and not the request's fault: 429, 5xx, timeout, no connection, 401, RBAC's 403, namespace gone.

    `retry_after`: seconds that the server asks us to wait, None if it does not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceeded(KubernetesError):
    """403 of a ResourceQuota: the same request may pass later."""


class Refused(KubernetesError):
    """The server will never take this: 400, 413, 422, a 403 of an admission controller.

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
