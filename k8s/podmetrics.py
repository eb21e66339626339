"""Reads what `metrics.k8s.io` answers about pods. Asks nobody."""

import msgspec

from events.cloudevent.timestamp import parse_epoch
from events.jobs.usage import PodUsage
from k8s.base import Malformed
from k8s.quantity import parse


class _Metadata(msgspec.Struct, gc=False):
    name: str


class _Amounts(msgspec.Struct, gc=False):
    cpu: str = "0"
    memory: str = "0"


class _Container(msgspec.Struct):
    usage: _Amounts


class _PodMetrics(msgspec.Struct):
    metadata: _Metadata
    timestamp: str
    containers: list[_Container]


class _List(msgspec.Struct):
    items: list[_PodMetrics] | None = None


def parse_pod_metrics(answer: bytes) -> list[PodUsage]:
    """A PodMetricsList as numbers. Raises `Malformed`."""
    try:
        found = msgspec.json.decode(answer, type=_List)
        return [_usage(one) for one in found.items or ()]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"the answer is no PodMetricsList: {error}"[:256]) from error


def _usage(pod: _PodMetrics) -> PodUsage:
    return PodUsage(
        name=pod.metadata.name,
        at=parse_epoch(pod.timestamp),
        cpu=float(sum(parse(one.usage.cpu) for one in pod.containers)),
        memory=int(sum(parse(one.usage.memory) for one in pod.containers)),
    )
