"""What the installation says about every Job. Knows no settings."""

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
    """What the installation says about every Job; in seconds and bytes.

    `namespace`: for requests that name none. `inline_bytes`: the largest event on the Job itself. `min_ttl`: a smaller
    TTL is raised to this, so that a repeated request still finds its Job. `default_deadline`: None sets none.
    `governs`: whether a Job of this queueing and service waits for admission, unless Kueue decides about it.

    `run_as_user`: None leaves user and security context to the image; else pods meet the Pod Security Standard
    "restricted". `app_label`: whether Jobs and pods have the service as labels `app` and `app.kubernetes.io/name`, by
    which others may select them; else it is in a label of ours. `limits`: quantities by resource, for containers that
    have no limit. `gpu_resource`: name of the resource that is a GPU.
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
    app_label: bool = True
    limits: Mapping[str, str] = field(default_factory=dict)
    gpu_resource: str = "nvidia.com/gpu"
