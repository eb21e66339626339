"""Claims about three servers as a cluster: what elections, lost quorums and changed replicas do to an installation."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from adapters.base import BrokerUnavailable, Kind, Topic, TopicRefused
from adapters.jetstream import broker as jetstream
from adapters.jetstream.broker import JetStreamBroker
from adapters.jetstream.options import JetStreamOptions
from tests.adapters.harness import REQUESTS, ids, make_event, next_delivery, take, until
from tests.adapters.loads import publish_surely
from tests.chaos.clusters.nats import NatsCluster, nats_cluster
from tests.patience import PATIENCE, within

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]
OPTIONS = JetStreamOptions(
    ack_wait=5.0, requests_max_bytes=64 << 20, connect_timeout=PATIENCE, publish_timeout=2, replicas=3
)
ANSWERS = Topic(Kind.REPLY, "answers.here")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsCluster]:
    async with nats_cluster(tmp_path_factory.mktemp("cluster")) as made:
        await made.api("STREAM.CREATE.ANSWERS", {"name": "ANSWERS", "subjects": ["answers.here"], "num_replicas": 3})
        yield made


def beside(number: int) -> int:
    """Another node."""
    return (number + 1) % 3


async def leads(cluster: NatsCluster, stream: str, number: int) -> bool:
    return await cluster.leader(stream) == number


async def stores(broker: JetStreamBroker) -> bool:
    try:
        await broker.probe()
    except BrokerUnavailable:
        return False
    return True


async def answered(broker: JetStreamBroker) -> set[str]:
    """Publish an answer every 20 ms, until a second's worth of them is stored in a row. Returns what was said before.

    Raises `TopicRefused`.
    """
    said: set[str] = set()
    stored = 0
    async with asyncio.timeout(PATIENCE):
        while stored < 50:
            try:
                await broker.publish(ANSWERS, make_event())
                stored += 1
            except BrokerUnavailable as error:
                said.add(str(error))
                stored = 0
            await asyncio.sleep(0.02)
    return said


@pytest.mark.stricter
async def test_an_election_refuses_no_topic_and_everything_goes_on_within_seconds_of_it(
    cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with jetstream.connect(cluster.url(), instance="elected", options=OPTIONS) as broker:
        await broker.declare()
    await cluster.spare()
    leader = await cluster.leader("ELECTED_REQUESTS")
    if await cluster.leader("ANSWERS") != leader:
        there = {"placement": {"preferred": f"n{leader + 1}"}}
        assert (await cluster.api("STREAM.LEADER.STEPDOWN.ANSWERS", there))["success"]
        await until(lambda: leads(cluster, "ANSWERS", leader))
    async with (
        jetstream.connect(cluster.url(beside(leader)), instance="elected", options=OPTIONS) as broker,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
        broker.history(Kind.LIFECYCLE, follow=True) as followed,
    ):
        await publish_surely(broker, REQUESTS, "before")
        assert ids(await take(subscription, 1, ack=True)) == ["before"]
        caplog.clear()
        await cluster.kill(leader)
        asked = broker.probe(), broker.check(), answered(broker)
        probed, checked, said = await asyncio.gather(*asked, return_exceptions=True)
        assert "ELECTED_REQUESTS" in str(probed)
        assert "no leader now" in str(probed)
        assert str(checked).startswith("stream ELECTED_REQUESTS has no leader now (an election")
        assert not isinstance(said, BaseException)
        assert any("has no leader now" in text or "cannot be known" in text for text in said or ())
        await until(lambda: stores(broker))
        began = time.monotonic()
        await publish_surely(broker, REQUESTS, "after")
        # The last ack may have gone with the node.
        while ids(await take(subscription, 1, ack=True)) != ["after"]:
            pass
        await publish_surely(broker, Topic(Kind.LIFECYCLE, "s.1.created"), "told")
        async with asyncio.timeout(PATIENCE):
            assert (await anext(followed)).event().get_id() == "told"
        assert time.monotonic() - began < within(7)
        warned = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert len([text for text in warned if text.startswith("consumer ")]) <= 2
    with pytest.raises(TopicRefused, match="no stream stores nowhere"):
        async with jetstream.connect(cluster.url(beside(leader)), options=OPTIONS) as broker:
            await broker.publish(Topic(Kind.REPLY, "nowhere"), make_event())
    await cluster.start(leader)
    await cluster.spare()


async def replicas_are(broker: JetStreamBroker, members: int) -> None:
    """Wait until all streams have so many, and all of them are up."""

    async def look() -> bool:
        found = await broker.replicas()
        return {(copies.members, copies.online, copies.remedy) for copies in found} == {(members, members, "")}

    await until(look)


async def test_replicas_are_changed_as_the_setting_says_and_nothing_else_is(
    cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with jetstream.connect(cluster.url(), instance="grown", options=replace(OPTIONS, replicas=None)) as broker:
        await broker.declare()
        found = await broker.replicas()
        assert {(copies.members, copies.wanted) for copies in found} == {(1, 3)}
        assert found[0].store == "stream GROWN_REQUESTS"
        assert {copies.remedy for copies in found} == {
            "a new start of the handler with JOBRELAY_NATS_REPLICAS=3, "
            "or `nats stream edit STREAM --replicas=3` for each"
        }
    before = (await cluster.api("STREAM.INFO.GROWN_REQUESTS"))["config"]
    async with (
        jetstream.connect(cluster.url(), instance="grown", options=replace(OPTIONS, replicas=1)) as former,
        jetstream.connect(cluster.url(), instance="grown", options=OPTIONS) as broker,
    ):
        for _ in range(2):
            await former.declare()
            await broker.declare()
            await broker.check()
            await broker.probe()
    assert (await cluster.api("STREAM.INFO.GROWN_REQUESTS"))["config"] == before | {"num_replicas": 3}
    assert len([text for text in caplog.messages if "replicas change from 1 to 3" in text]) == 4
    caplog.clear()
    async with jetstream.connect(cluster.url(), instance="grown", options=replace(OPTIONS, replicas=5)) as broker:
        for _ in range(2):
            await broker.declare()
        assert "5 servers with JetStream" in (await broker.replicas())[0].remedy
    (said,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "no suitable peers" in said


@pytest.mark.long
@pytest.mark.slow
async def test_replicas_are_changed_while_messages_are_in_flight_and_nothing_is_lost(cluster: NatsCluster) -> None:
    single, triple = replace(OPTIONS, replicas=1), OPTIONS
    async with (
        jetstream.connect(cluster.url(), instance="flying", options=single) as member,
        jetstream.connect(cluster.url(), instance="flying", options=triple) as owner,
    ):
        await member.declare()
        async with member.subscribe(Kind.REQUESTS, prefetch=3) as subscription:
            await publish_surely(owner, REQUESTS, "held")
            held = await next_delivery(subscription)
            sent = {f"m{number}" for number in range(20)}
            for name in sent:
                await publish_surely(owner, REQUESTS, name)
            found = set(ids(await take(subscription, 5, ack=True)))
            await owner.declare()
            async with asyncio.timeout(PATIENCE):
                await publish_surely(owner, REQUESTS, "during")
            found |= set(ids(await take(subscription, 16, ack=True)))
            assert found == sent | {"during"}
            await held.ack()
            await replicas_are(owner, 3)

            async def consumers_follow() -> bool:
                info = await cluster.api("CONSUMER.INFO.FLYING_REQUESTS.flying-normal")
                return len(info["cluster"].get("replicas") or ()) == 2

            await until(consumers_follow)
    async with jetstream.connect(cluster.url(), instance="flying", options=single) as owner:
        await owner.declare()
        await replicas_are(owner, 1)


@pytest.mark.long
@pytest.mark.slow
async def test_streams_without_a_quorum_are_named_until_they_store_again(cluster: NatsCluster) -> None:
    async with jetstream.connect(cluster.url(), instance="few", options=OPTIONS) as broker:
        await broker.declare()
    await cluster.spare()
    leader = await cluster.leader("FEW_REQUESTS")
    others = [number for number in range(3) if number != leader]
    async with jetstream.connect(cluster.url(leader), instance="few", options=OPTIONS) as broker:
        await broker.probe()
        await cluster.kill(*others)
        # Its leader does not know at once that it is alone.
        with pytest.raises(BrokerUnavailable):
            await broker.publish(REQUESTS, make_event(id="lost?"))
        with pytest.raises(BrokerUnavailable, match="FEW_REQUESTS") as error:
            await broker.probe()
        assert "the last publish was not stored" in str(error.value) or "no leader now" in str(error.value)

        async def said() -> bool:
            with pytest.raises(BrokerUnavailable, match="FEW_REQUESTS") as found:
                await broker.probe()
            return "FEW_REQUESTS, FEW_CONTROL, FEW_LIFECYCLE, FEW_DEAD: no" in str(found.value)

        await until(said)
        await cluster.start(*others)
        await until(lambda: stores(broker))
        await publish_surely(broker, REQUESTS, "lost?")
