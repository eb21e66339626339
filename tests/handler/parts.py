"""Makes what the parts of a process share, for tests of a single part."""

from typing import Any, cast

from handler.controller.term import Term
from handler.effects.publisher import Publisher
from handler.effects.services import Services
from handler.effects.writes import Writes
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages
from k8s.api.cluster import Cluster
from k8s.informer.informer import JobCache


def make_services(cluster: Cluster, settings: Settings) -> Services:
    """Services without a broker."""
    metrics = Metrics()
    publisher = Publisher({}, (), metrics, reply_topics=())
    outages = Outages(metrics)
    return Services(cluster=cluster, settings=settings, metrics=metrics, publisher=publisher, outages=outages)


def make_term(cache: JobCache, writes: Any = None) -> Term:
    """`writes`: needed only by a part that writes."""
    return Term(cache=cache, writes=cast("Writes", writes), previous=None)
