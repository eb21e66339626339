"""The installation's part of every Job, as manifests need it. Which setting says so is not known here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from events.jobs.queueing import Queueing
from events.names import DEFAULT_INSTANCE
from k8s.kueue import KueueOptions


def ungoverned(queueing: Queueing, service: str | None) -> bool:
    """Nothing waits for admission."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOptions:
    """The installation's part of every Job. Seconds and bytes.

    `namespace`: of requests that name none. `inline_bytes`: the largest event on the Job itself. `min_ttl`: a smaller
    TTL is raised to it, so that a repeat still meets its Job. `default_deadline`: None sets none. `governs`: whether a
    Job of this queueing and service waits for admission, unless Kueue decides about it.

    `run_as_user`: None leaves user and security context to the image; else pods meet the Pod Security Standard
    "restricted". `limits`: quantity by resource, for containers that ask for no limit. `gpu_resource`: what a GPU is.
    """

    instance: str = DEFAULT_INSTANCE
    namespace: str
    broker: str
    inline_bytes: int = 16384
    min_ttl: int = 3600
    default_ttl: int = 3600
    default_start_timeout: int = 600
    default_deadline: int | None = None
    governs: Callable[[Queueing, str | None], bool] = ungoverned
    kueue: KueueOptions = field(default_factory=KueueOptions)
    run_as_user: int | None = 65532
    limits: Mapping[str, str] = field(default_factory=dict)
    gpu_resource: str = "nvidia.com/gpu"
