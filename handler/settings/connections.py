"""Connects to the broker and the cluster that the settings name. Does not try again."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from adapters.base import Broker
from adapters.connect import connect as connect_broker
from adapters.registry import adapter_of
from handler import version
from handler.settings import reach
from handler.settings.admission import priority_class
from handler.settings.settings import Settings
from k8s.kueue import KueueOptions
from k8s.manifests.options import ManifestOptions

if TYPE_CHECKING:
    from k8s.api.cluster import Cluster

PROGRAM = "jobrelay"


def broker_of(settings: Settings, url: str | None = None) -> AbstractAsyncContextManager[Broker]:
    """The broker at `url`, by default the first source. Its topology may be missing. Raises what `connect` raises."""
    url = url or settings.sources[0]
    options = adapter_of(url).options(settings.model_dump())
    return connect_broker(url, instance=settings.instance, options=options)


def cluster_of(settings: Settings, *, program: str = PROGRAM) -> "AbstractAsyncContextManager[Cluster]":
    """The cluster of `JOBRELAY_KUBECONFIG`, else of `KUBECONFIG`, else the cluster we run in. Raises `ConfigError`.

    `program`, with its version, is the User-Agent of every request.
    """
    # Most commands need the broker alone.
    from k8s.api.cluster import connect as connect_cluster

    return connect_cluster(
        kubeconfig=settings.kubeconfig,
        context=settings.kube_context,
        timeout=settings.kube_timeout,
        user_agent=f"{program}/{version()}",
    )


def program_of(settings: Settings) -> str:
    """The name of this role's processes in their requests, so that the API server's audit log tells the roles apart."""
    return PROGRAM if settings.role == "both" else f"{PROGRAM}-{settings.role}"


def selector_of(settings: Settings) -> str:
    """The label selector of this installation's Jobs, CronJobs and Pods."""
    return reach.selector_of(settings.instance)


def namespaces_of(settings: Settings, cluster: "Cluster") -> tuple[str, ...]:
    """The namespaces that this installation's Jobs may be in; the first is the default, and has the Lease."""
    return settings.namespaces or (cluster.default_namespace,)


def options_of(settings: Settings, *, namespace: str, broker: str) -> ManifestOptions:
    """What the settings say about every Job. `namespace`: the default namespace."""
    return ManifestOptions(
        instance=settings.instance,
        namespace=namespace,
        broker=broker,
        inline_bytes=settings.inline_bytes,
        min_ttl=settings.dedup_seconds,
        default_ttl=settings.ttl_seconds,
        default_start_timeout=settings.start_timeout,
        default_deadline=settings.default_deadline,
        governs=settings.governs,
        kueue=kueue_of(settings),
        limits=settings.limits,
        gpu_resource=settings.gpu_resource,
        app_label=settings.app_label == "on",
        run_as_user=settings.run_as_user if settings.pod_security == "restricted" else None,
    )


def kueue_of(settings: Settings) -> KueueOptions:
    """What the settings say about Jobs that Kueue admits."""
    classes = sorted(priority_class(text) for text in settings.kueue_priority_classes)
    return KueueOptions(queue=settings.kueue_queue, classes=tuple(classes))
