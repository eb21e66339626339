"""Reads answers of `metrics.k8s.io` about pods, and Events about Jobs. Sends nothing."""

from typing import Any

import msgspec

from events.cloudevent.timestamp import parse_epoch
from events.jobs.usage import PodUsage
from events.lifecycle.podless import Notice
from events.problems import brief
from k8s.base import Malformed
from k8s.reading.metadata import MAX_WORD
from k8s.reading.quantity import parse
from k8s.reading.said import without_values

MAX_NOTICE = 16_384
"""Characters of an Event's message that are read. Kubernetes' own have 1 KiB."""


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
    """Read a PodMetricsList. Raises `Malformed`."""
    try:
        found = msgspec.json.decode(answer, type=_List)
        return [_usage(pod) for pod in found.items or ()]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(brief(f"the answer is no PodMetricsList: {error}")) from error


def _usage(pod: _PodMetrics) -> PodUsage:
    return PodUsage(
        name=pod.metadata.name,
        at=parse_epoch(pod.timestamp),
        cpu=float(sum(parse(container.usage.cpu) for container in pod.containers)),
        memory=int(sum(parse(container.usage.memory) for container in pod.containers)),
    )


def parse_notice(event: dict[str, Any]) -> Notice | None:
    """Read an Event (v1). None if it has no message or no time."""
    first = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    last = event.get("lastTimestamp") or (event.get("series") or {}).get("lastObservedTime") or first
    try:
        reason = str(event.get("reason", ""))[:MAX_WORD]
        return Notice(
            reason=reason,
            message=brief(without_values(str(event["message"])[:MAX_NOTICE])),
            first=parse_epoch(first),
            last=parse_epoch(last),
        )
    except (KeyError, TypeError, ValueError):
        return None
