"""What every part of a process works with, for as long as the process runs."""

from dataclasses import dataclass

from handler.effects.publisher import Publisher
from handler.settings.connections import namespaces_of
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages
from handler.telemetry.tracing import OFF, Tracing
from k8s.api.cluster import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Connections, settings and telemetry of one process."""

    cluster: Cluster
    settings: Settings
    metrics: Metrics
    publisher: Publisher
    outages: Outages
    tracing: Tracing = OFF

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that Jobs of this installation may be in; the first is the default and holds the Lease."""
        return namespaces_of(self.settings, self.cluster)
