"""Claims about streams and consumers: which there are, that missing ones are created and none is ever changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Kind, Topic, TopologyDrift
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.topology import StreamNames
from adapters.servers import nats as natsserver
from adapters.servers.nats import NatsServer
from tests.adapters.harness import REQUESTS, make_event, publish, take

pytestmark = pytest.mark.broker
SECOND = 1_000_000_000
SMALL = JetStreamOptions(requests_max_bytes=1 << 20)


@pytest.fixture
async def link(server: NatsServer) -> AsyncIterator[Connection]:
    async with connection(server.url, JetStreamOptions()) as opened:
        yield opened


async def config(link: Connection, call: str) -> dict[str, Any]:
    found: dict[str, Any] = (await link.api(call))["config"]
    return found


async def declare(server: NatsServer, instance: str = "jobrelay", options: JetStreamOptions | None = None) -> None:
    async with jetstream.connect(server.url, instance=instance, options=options) as broker:
        await broker.declare()
        await broker.check()


async def test_streams_are_those_of_the_stored_format(server: NatsServer, link: Connection) -> None:
    await declare(server)
    requests = await config(link, "STREAM.INFO.JOBRELAY_REQUESTS")
    assert requests["subjects"] == ["jobrelay.requests", "jobrelay.requests.high", "jobrelay.requests.low"]
    assert (requests["retention"], requests["discard"], requests["storage"]) == ("workqueue", "new", "file")
    assert (requests["max_bytes"], requests["max_msg_size"]) == (1 << 30, (1 << 20) - (16 << 10))
    assert (requests["duplicate_window"], requests["num_replicas"]) == (600 * SECOND, 1)
    control = await config(link, "STREAM.INFO.JOBRELAY_CONTROL")
    assert (control["subjects"], control["retention"]) == (["jobrelay.control"], "workqueue")
    lifecycle = await config(link, "STREAM.INFO.JOBRELAY_LIFECYCLE")
    assert (lifecycle["subjects"], lifecycle["retention"]) == (["jobrelay.lifecycle.>"], "limits")
    assert (lifecycle["max_age"], lifecycle["duplicate_window"]) == (7 * 86400 * SECOND, 600 * SECOND)
    dead = await config(link, "STREAM.INFO.JOBRELAY_DEAD")
    assert (dead["subjects"], dead["max_age"]) == (["jobrelay.dead.>"], 30 * 86400 * SECOND)


@pytest.mark.parametrize(
    ("stream", "consumer", "subject"),
    [
        ("REQUESTS", "jobrelay-high", "jobrelay.requests.high"),
        ("REQUESTS", "jobrelay-normal", "jobrelay.requests"),
        ("REQUESTS", "jobrelay-low", "jobrelay.requests.low"),
        ("CONTROL", "jobrelay-control", "jobrelay.control"),
    ],
)
async def test_consumers_are_those_of_the_stored_format(
    server: NatsServer, link: Connection, stream: str, consumer: str, subject: str
) -> None:
    await declare(server)
    found = await config(link, f"CONSUMER.INFO.JOBRELAY_{stream}.{consumer}")
    assert found["filter_subject"] == subject
    assert (found["ack_policy"], found["ack_wait"]) == ("explicit", 30 * SECOND)
    assert (found["max_deliver"], found["max_ack_pending"]) == (-1, -1)
    assert "backoff" not in found


async def test_many_may_declare_at_once(server: NatsServer) -> None:
    await asyncio.gather(*(declare(server) for _ in range(5)))


async def test_missing_streams_and_consumers_are_named(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url) as broker:
        with pytest.raises(BrokerUnavailable, match=r"JOBRELAY_REQUESTS.*JOBRELAY_CONTROL.*LIFECYCLE.*DEAD"):
            await broker.check()
        await broker.declare()
        await link.api("CONSUMER.DELETE.JOBRELAY_REQUESTS.jobrelay-low")
        with pytest.raises(BrokerUnavailable, match="jobrelay-low"):
            await broker.check()
        await broker.declare()
        await broker.check()


async def test_drift_is_reported_with_both_values_and_left_alone(server: NatsServer, link: Connection) -> None:
    await declare(server)
    theirs = await config(link, "STREAM.INFO.JOBRELAY_LIFECYCLE") | {"max_age": 5 * SECOND, "duplicate_window": SECOND}
    await link.api("STREAM.UPDATE.JOBRELAY_LIFECYCLE", theirs)
    consumer = await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high") | {
        "ack_wait": 3 * SECOND,
        "max_deliver": 7,
    }
    request = {"stream_name": "JOBRELAY_REQUESTS", "config": consumer}
    await link.api("CONSUMER.CREATE.JOBRELAY_REQUESTS.jobrelay-high.jobrelay.requests.high", request)
    await link.api("STREAM.DELETE.JOBRELAY_DEAD")
    async with jetstream.connect(server.url) as broker:
        with pytest.raises(TopologyDrift) as drift:
            await broker.declare()
        # What was missing was still created.
        assert await config(link, "STREAM.INFO.JOBRELAY_DEAD")
        with pytest.raises(TopologyDrift):
            await broker.check()
    for text in (
        "stream JOBRELAY_LIFECYCLE: max_age is 5000000000, not 604800000000000",
        "consumer jobrelay-high of JOBRELAY_REQUESTS: ack_wait is 3000000000, not 30000000000",
        "max_deliver is 7, not -1",
    ):
        assert text in str(drift.value)
    assert (await config(link, "STREAM.INFO.JOBRELAY_LIFECYCLE"))["max_age"] == 5 * SECOND
    assert (await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high"))["max_deliver"] == 7


async def test_size_and_replicas_that_no_setting_asks_for_are_no_drift(server: NatsServer) -> None:
    await declare(server, options=SMALL)
    await declare(server)
    with pytest.raises(TopologyDrift, match="max_bytes is 1048576, not 2097152"):
        await declare(server, options=JetStreamOptions(requests_max_bytes=2 << 20))
    with pytest.raises(TopologyDrift, match="num_replicas is 1, not 3"):
        await declare(server, options=JetStreamOptions(replicas=3))


async def test_limit_that_leaves_no_room_for_a_dead_letter_is_drift_and_a_lower_limit_is_not(
    server: NatsServer, link: Connection
) -> None:
    await declare(server)
    mine = await config(link, "STREAM.INFO.JOBRELAY_REQUESTS")
    await link.api("STREAM.UPDATE.JOBRELAY_REQUESTS", mine | {"max_msg_size": 1000})
    await declare(server)
    await link.api("STREAM.UPDATE.JOBRELAY_REQUESTS", mine | {"max_msg_size": -1})
    with pytest.raises(TopologyDrift, match="max_msg_size"):
        await declare(server)


async def test_store_that_is_too_small_is_unavailable_and_the_setting_is_named(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, store_bytes=10 << 20) as server:
        with pytest.raises(BrokerUnavailable, match=r"of 1073741824 bytes: .* JOBRELAY_NATS_MAX_BYTES"):
            await declare(server)
        await declare(server, options=SMALL)


async def test_server_without_jetstream_is_reported(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, store_bytes=0) as server:
        with pytest.raises(BrokerUnavailable, match="JetStream is not enabled"):
            await declare(server)


async def test_two_installations_on_one_server_share_no_messages(server: NatsServer, link: Connection) -> None:
    await declare(server)
    await declare(server, "teama")
    assert (await config(link, "STREAM.INFO.TEAMA_REQUESTS"))["subjects"][0] == "teama.requests"
    assert await config(link, "CONSUMER.INFO.TEAMA_REQUESTS.teama-normal")
    async with (
        jetstream.connect(server.url, instance="teama") as theirs,
        jetstream.connect(server.url) as ours,
        ours.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await theirs.publish(REQUESTS, make_event(id="theirs"))
        await publish(ours, 1)
        (delivery,) = await take(subscription, 1)
        assert delivery.event().get_id() == "m0"


@pytest.mark.parametrize("instance", ["", "Team", "a.b", "a b", "a*", "-a", "a-", "ä"])
def test_invalid_instance_name_is_refused(instance: str) -> None:
    with pytest.raises(ValueError, match="instance"):
        StreamNames(instance)


def test_key_is_the_subject_without_the_installation() -> None:
    names = StreamNames("jobrelay")
    topic = Topic(Kind.LIFECYCLE, "lifecycle.jobrelay.created")
    assert names.key(Kind.LIFECYCLE, names.subject(topic)) == topic.key
    assert names.key(Kind.DEAD, "jobrelay.dead.requests.high") == "requests.high"
