"""What a metrics server says about pods, as numbers; and Events about Jobs."""

from typing import Any

import orjson
import pytest

from events.lifecycle.podless import Notice
from k8s.base import Malformed
from k8s.reading.podmetrics import parse_notice, parse_pod_metrics
from tests.events.samples import NOON


def answer(*usages: dict[str, str], **fields: Any) -> bytes:
    pod = {
        "metadata": {"name": "p1", "namespace": "default", "labels": {"a": "b"}},
        "timestamp": "2026-11-21T12:00:00Z",
        "window": "15.063s",
        "containers": [{"name": f"c{number}", "usage": usage} for number, usage in enumerate(usages)],
    }
    return orjson.dumps({"kind": "PodMetricsList", "metadata": {}, "items": [pod | fields]})


@pytest.mark.parametrize(
    ("cpu", "cores"), [("12345678n", 0.012345678), ("250u", 0.00025), ("1500m", 1.5), ("2", 2.0), ("0", 0.0)]
)
def test_cpu_is_cores(cpu: str, cores: float) -> None:
    (pod,) = parse_pod_metrics(answer({"cpu": cpu, "memory": "0"}))
    assert pod.cpu == pytest.approx(cores)


@pytest.mark.parametrize(
    ("memory", "count"),
    [("1234Ki", 1263616), ("2Mi", 2 << 20), ("5k", 5000), ("128974848", 128974848), ("129e6", 129_000_000)],
)
def test_memory_is_bytes(memory: str, count: int) -> None:
    (pod,) = parse_pod_metrics(answer({"cpu": "0", "memory": memory}))
    assert pod.memory == count


def test_a_pod_is_the_sum_of_its_containers() -> None:
    (pod,) = parse_pod_metrics(answer({"cpu": "1", "memory": "1Ki"}, {"cpu": "500m", "memory": "2Ki"}))
    assert (pod.name, pod.at, pod.cpu, pod.memory) == ("p1", 1_795_262_400.0, 1.5, 3072)


def test_no_pod_is_an_empty_list() -> None:
    assert parse_pod_metrics(b'{"kind":"PodMetricsList","metadata":{},"items":null}') == []


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", answer({"cpu": "many"}), answer({"cpu": "1"}, timestamp="yesterday"), b'{"items":[{}]}']
)
def test_answer_that_is_no_list_of_pods_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_pod_metrics(body)


def test_kubernetes_events_are_read_in_either_form() -> None:
    old = {
        "metadata": {},
        "reason": "FailedCreate",
        "message": "m",
        "firstTimestamp": "2026-11-21T12:00:01Z",
        "lastTimestamp": "2026-11-21T12:00:03Z",
    }
    new = {
        "metadata": {},
        "reason": "FailedCreate",
        "message": "m",
        "eventTime": "2026-11-21T12:00:01.000000Z",
        "firstTimestamp": None,
        "lastTimestamp": None,
        "series": {"count": 2, "lastObservedTime": "2026-11-21T12:00:03.000000Z"},
    }
    wanted = Notice(reason="FailedCreate", message="m", first=NOON + 1, last=NOON + 3)
    assert parse_notice(old) == parse_notice(new) == wanted
    assert parse_notice({"metadata": {}, "message": "m"}) is None
    assert parse_notice({"metadata": {"creationTimestamp": "2026-11-21T12:00:01Z"}}) is None
