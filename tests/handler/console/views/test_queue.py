"""What waits: at the brokers, and by reason and place."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Depth, Kind, Topic
from adapters.memory import MemoryBroker
from handler.console.views import queue
from handler.console.views.queue import queue_view
from k8s.api.cluster import Cluster
from tests.handler.console.pages.filled import bury, waiting
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import a_life, lifecycle
from tests.handler.samples import make_request

STALL = {"errorCode": "UNSCHEDULABLE", "message": "no node has a GPU"}


async def test_requests_wait_by_reason_in_the_order_of_their_places(cluster: Cluster, broker: MemoryBroker) -> None:
    events = [event for place in (3, 1, 2) for event in waiting(place, place=place)]
    # A later event tells another place.
    events.append(lifecycle("queued", "waits-003", uid="uid-w3", suffix="/2", reason="limit", position=4))
    events += waiting(9, place=None, reason="dependencies", requests=["waits-001"])
    events += waiting(10, place=None, reason="<b>mystery</b>")
    events += [lifecycle("created", "stuck", uid="uid-s"), lifecycle("stalled", "stuck", uid="uid-s", error=STALL)]
    async with seeing(cluster, *events, *a_life("ended")) as (backend, _):
        backend.brokers = {"memory": broker}
        found = await queue_view(backend)
    assert [(one.reason, one.says, one.count, one.more) for one in found.waiting] == [
        ("limit", "too many run", 3, False),
        ("<b>mystery</b>", "<b>mystery</b>", 1, False),
        ("dependencies", "requests that it depends on have not ended", 1, False),
    ]
    assert [(one.request.id, one.place) for one in found.waiting[0].requests] == [
        ("waits-001", 1),
        ("waits-002", 2),
        ("waits-003", 4),
    ]
    assert [(one.id, one.reason, one.says) for one in found.stalled] == [
        ("stuck", "UNSCHEDULABLE", "no node has a GPU")
    ]
    assert found.problems == []


async def test_lanes_tell_what_is_ready_and_what_is_in_hand(cluster: Cluster, broker: MemoryBroker) -> None:
    for number in range(3):
        await broker.publish(Topic(Kind.REQUESTS, "high"), make_request(f"r{number}"))
    bury(broker, b"?")
    async with seeing(cluster) as (backend, _), broker.subscribe(Kind.REQUESTS, prefetch=1) as deliveries:
        backend.brokers = {"memory": broker}
        delivery = await anext(aiter(deliveries))
        found = await queue_view(backend)
        await delivery.ack()
    lanes = {lane.topic: (lane.ready, lane.unsettled) for lane in found.lanes}
    assert lanes == {
        "requests.high": (2, 1),
        "requests": (0, 0),
        "requests.low": (0, 0),
        "control": (0, 0),
        "dead": (1, 0),
    }


async def test_a_broker_that_does_not_answer_is_a_problem_and_the_rest_is_shown(
    cluster: Cluster, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> Mapping[Topic, Depth]:
        raise BrokerUnavailable("no connection to \x1b[31mit")

    async def hangs() -> Mapping[Topic, Depth]:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    monkeypatch.setattr(queue, "SECONDS_MOST", 0.05)
    for depth, said in ((fails, "broker memory: no connection to  [31mit"), (hangs, "broker memory: does not say")):
        monkeypatch.setattr(broker, "depth", depth)
        async with seeing(cluster, *waiting(1, place=1)) as (backend, _):
            backend.brokers = {"memory": broker}
            found = await queue_view(backend)
        assert found.lanes == []
        assert found.problems[0].startswith(said)
        assert [one.request.id for one in found.waiting[0].requests] == ["waits-001"]


async def test_many_who_look_ask_once_and_many_who_wait_are_bounded(
    cluster: Cluster, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    depth = broker.depth

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await depth()

    monkeypatch.setattr(broker, "depth", counted)
    monkeypatch.setattr(queue, "READ_MOST", 20)
    monkeypatch.setattr(queue, "PAGE", 10)
    monkeypatch.setattr(queue, "SHOWN_MOST", 5)
    events = [event for place in range(1, 31) for event in waiting(place, place=place)]
    async with seeing(cluster, *events) as (backend, _):
        backend.brokers = {"memory": broker}
        answers = await asyncio.gather(*(queue_view(backend) for _ in range(50)))
    assert asked == 1
    (group,) = answers[0].waiting
    assert (group.count, len(group.requests), group.more) == (20, 5, True)


async def test_without_a_broker_that_is_said(cluster: Cluster) -> None:
    async with seeing(cluster) as (backend, _):
        found = await queue_view(backend)
    assert (found.waiting, found.stalled, found.lag) == ([], [], None)
    assert found.problems == ["no broker was connected so far"]
