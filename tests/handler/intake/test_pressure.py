"""What may wait is shared: a service that has much of it waits itself, and others do not."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.memory import MemoryBroker
from events.cloudevent.timestamp import format_epoch
from k8s.api.cluster import Cluster
from tests.handler.relay import Client, detail, running
from tests.handler.samples import make_request, until, waits_for

LATER = format_epoch(time.time() + 3600)
HOG, OTHER = "hog", "other"


async def wait(client: Client, service: str, number: int) -> None:
    """Publish requests that wait for their time, and wait until they do.

    Together: for a second, a handler adds the Jobs it made to the leader's counts, which may have them already.
    """
    names = [f"{service}-{index}" for index in range(number)]
    await client.publish(*(make_request(name, service=service, runAt=LATER) for name in names))
    for name in names:
        await client.reached(name, "queued")


async def refused(client: Client, request: CloudEvent) -> str:
    """Publish a request; returns why it is refused."""
    data: Any = request.get_data()
    await client.publish(request)
    error = detail(await client.reached(data["id"], "rejected"))["error"]
    assert error["errorCode"] == "TOO_MANY_WAITING"
    return str(error["message"])


async def test_a_service_that_took_all_that_may_wait_for_a_time_leaves_the_others_their_half(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, max_waiting=4) as client:
        await wait(client, HOG, 4)
        message = await refused(client, make_request("hog-more", service=HOG, runAt=LATER))
        assert message.startswith("JOBRELAY_MAX_WAITING=4 Jobs wait")
        await wait(client, OTHER, 2)
        for service in (HOG, OTHER):
            message = await refused(client, make_request(f"{service}-last", service=service, runAt=LATER))
            assert message.startswith("2 Jobs of its service wait")
            assert "half of JOBRELAY_MAX_WAITING=4" in message
        await client.publish(make_request("hog-0", service=HOG, runAt=LATER))
        await until(lambda: counted(client, "jobrelay_messages_duplicate_total"))
        assert await client.phases("hog-0") == ["created", "queued"], "who comes again is a duplicate, whoever waits"


async def counted(client: Client, name: str, **labels: str) -> float:
    return client.state.metrics.registry.get_sample_value(name, {"broker": "memory", **labels}) or 0.0


async def is_open(client: Client) -> bool:
    return not client.state.metrics.intake_full._value.get()


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_service_that_has_its_share_of_the_queue_waits_in_the_broker_while_others_pass(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, *, is_known: bool
) -> None:
    """`is_known`: the handler has seen another service before; else it has to find out."""
    settings: dict[str, Any] = {"max_active_per_service": 3, "max_queued": 8, "concurrency": 2}
    async with running(broker, cluster, **settings) as client:
        if is_known:
            await client.publish(make_request("early", service=OTHER))
            await client.ended("early")
        script = waits_for(tmp_path / "go")
        names = [f"hog-{number}" for number in range(13)]
        await client.publish(*(make_request(name, service=HOG, script=script) for name in names))
        await client.publish(*(make_request(f"plain-{number}", service=OTHER) for number in range(3)))
        for number in range(3):
            await client.ended(f"plain-{number}")
        jobs = await cluster.list_jobs("default", "app.kubernetes.io/name=hog")
        # Its share is four, and all are eight. Three more may run, and two may have been in hand.
        assert 4 <= len(jobs) <= (4 if is_known else 8) + 3 + 2
        assert await counted(client, "jobrelay_messages_deferred_total", reason="share") > 0
        # For a second, it may count some twice: those that it made and the leader has counted.
        await until(partial(is_open, client))
        (tmp_path / "go").touch()
        for name in names:
            await client.ended(name)
        assert await client.dead() == []
