"""Claims about JetStream beyond the server that we connect to: domains of leaf nodes, and an API that is imported."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from adapters.base import BrokerUnavailable, Kind, Topic, TopicRefused, TopologyDrift
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import connection
from adapters.jetstream.descriptor import ADAPTER
from adapters.jetstream.options import JetStreamOptions
from adapters.servers import nats as natsserver
from adapters.servers.free_port import free_port
from adapters.servers.nats import NatsServer
from tests.adapters.brokers import HUB, LEAF, OPTIONS, joined, leaf_node
from tests.adapters.harness import HIGH, REQUESTS, ids, make_event, next_delivery, publish, take, until, use_everything
from tests.patience import PATIENCE

pytestmark = pytest.mark.broker
IN_HUB, IN_LEAF = (replace(OPTIONS, domain=domain) for domain in (HUB, LEAF))
IMPORTED = replace(OPTIONS, api_prefix="main.js", publish_timeout=5)
# What the account `main` stores, `edge` uses: the API under another name, acks and our subjects under their own.
ACCOUNTS = """
accounts {
  main { jetstream: enabled, users: [ { user: main, password: pw } ], exports: [
    { service: "$JS.API.>", response: stream }, { service: "$JS.ACK.>" }, { service: "jobrelay.>" } ] }
  edge { users: [ { user: edge, password: pw } ], imports: [
    { service: { account: main, subject: "$JS.API.>" }, to: "main.js.>" },
    { service: { account: main, subject: "$JS.ACK.>" } }, { service: { account: main, subject: "jobrelay.>" } } ] }
}
"""

Pair = tuple[NatsServer, NatsServer]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with leaf_node(tmp_path) as (hub, leaf):
        await joined(leaf.url, IN_HUB)
        await joined(hub.url, IN_LEAF)
        yield hub, leaf


async def streams(url: str, options: JetStreamOptions = OPTIONS) -> list[str]:
    """Streams of a JetStream, by default of that of the server."""
    async with connection(url, options) as link:
        return list((await link.api("STREAM.NAMES"))["streams"] or [])


@pytest.mark.parametrize("connected_to", [LEAF, HUB])
async def test_everything_works_in_the_domain_of_the_other_server(pair: Pair, connected_to: str) -> None:
    hub, leaf = pair
    ours, other, options = (leaf, hub, IN_HUB) if connected_to == LEAF else (hub, leaf, IN_LEAF)
    async with jetstream.connect(ours.url, options=options) as broker:
        await use_everything(broker)
    assert len(await streams(other.url)) == 4
    assert not await streams(ours.url)


async def test_members_at_hub_and_leaf_share_the_requests_of_one_installation(pair: Pair) -> None:
    hub, leaf = pair
    async with jetstream.connect(hub.url, options=OPTIONS) as near, jetstream.connect(leaf.url, options=IN_HUB) as far:
        await near.declare()
        await far.check()
        async with (
            near.subscribe(Kind.REQUESTS, prefetch=1) as first,
            far.subscribe(Kind.REQUESTS, prefetch=1) as second,
        ):
            await publish(near, 5, prefix="near")
            await publish(far, 5, HIGH, prefix="far")
            # Neither is settled, so that each has to bring one.
            held = [await next_delivery(first), await next_delivery(second)]
            first.close()
            found = set(ids(held))
            for delivery in held:
                await delivery.ack()
            found |= set(ids(await take(second, 8, ack=True)))
        assert found == {f"{where}{number}" for where in ("near", "far") for number in range(5)}


async def test_what_comes_right_after_a_subscription_closed_is_not_sent_to_nobody(pair: Pair) -> None:
    _, leaf = pair
    async with jetstream.connect(leaf.url, options=replace(IN_HUB, ack_wait=30)) as broker:
        await broker.declare()
        await publish(broker, 1)
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            # By now a request for another lane waits at the hub.
            await (await next_delivery(subscription)).ack()
        await publish(broker, 1, HIGH, prefix="after")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            assert (await next_delivery(subscription)).attempt == 1


async def test_a_hub_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    async with leaf_node(tmp_path) as (hub, leaf):
        await joined(leaf.url, IN_HUB)
        # What is published as the hub dies gets no answer, and is asked again.
        async with jetstream.connect(leaf.url, options=replace(IN_HUB, publish_timeout=5)) as broker:
            await broker.declare()
            async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
                await hub.kill()
                await until(lambda: refused_for_now(broker))
                assert broker.connected
                # Nobody can say now whether a stream takes it.
                with pytest.raises(BrokerUnavailable):
                    await broker.publish(Topic(Kind.REPLY, "answers.here"), make_event())
                with pytest.raises(BrokerUnavailable, match="no JetStream domain hub is reachable"):
                    await broker.check()
                await hub.start()
                await joined(leaf.url, IN_HUB)
                await publish(broker, 1)
                await (await next_delivery(subscription)).ack()
            with pytest.raises(TopicRefused, match="no stream stores"):
                await broker.publish(Topic(Kind.REPLY, "answers.here"), make_event())


async def refused_for_now(broker: jetstream.JetStreamBroker) -> bool:
    try:
        await broker.publish(REQUESTS, make_event())
    except BrokerUnavailable:
        return True
    return False


async def test_a_domain_that_is_not_there_is_named(pair: Pair) -> None:
    async with jetstream.connect(pair[1].url, options=replace(OPTIONS, domain="moon")) as broker:
        with pytest.raises(BrokerUnavailable, match="no JetStream domain moon is reachable from this NATS server"):
            await broker.declare()


async def test_an_imported_api_is_used_under_its_prefix(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, extra=ACCOUNTS) as server:
        main, edge = (server.url.replace("//", f"//{user}:pw@") for user in ("main", "edge"))
        async with jetstream.connect(edge, options=IMPORTED) as broker:
            await use_everything(broker)
        assert len(await streams(main)) == 4
        async with jetstream.connect(edge, options=replace(OPTIONS, api_prefix="main.other")) as broker:
            with pytest.raises(BrokerUnavailable, match=r"nobody answers on main\.other"):
                await broker.check()


async def test_documented_permissions_are_enough_for_a_domain(tmp_path: Path) -> None:
    allowed = {verb: list(patterns) for verb, patterns in ADAPTER.permissions("team-a", IN_HUB).items()}
    users = f'authorization {{ users: [ {{ user: "ours", password: "pw", permissions: {json.dumps(allowed)} }} ] }}'
    async with leaf_node(tmp_path, extra={LEAF: users}) as (hub, leaf):
        ours = leaf.url.replace("//", "//ours:pw@")
        await joined(ours, IN_HUB)
        async with jetstream.connect(ours, instance="team-a", options=IN_HUB) as broker:
            await use_everything(broker)
        assert await streams(hub.url)


async def test_following_goes_on_in_the_domain_after_the_hub_was_away(pair: Pair) -> None:
    hub, leaf = pair
    async with jetstream.connect(leaf.url, options=IN_HUB) as broker:
        await broker.declare()
        async with broker.history(Kind.LIFECYCLE, follow=True) as history, asyncio.timeout(PATIENCE):
            await broker.publish(Topic(Kind.LIFECYCLE, "s.1.created"), make_event(id="before"))
            assert (await anext(history)).event().get_id() == "before"
            await hub.kill()
            await hub.start()
            await joined(leaf.url, IN_HUB)
            await broker.publish(Topic(Kind.LIFECYCLE, "s.1.started"), make_event(id="after"))
            assert (await anext(history)).event().get_id() == "after"


@pytest.mark.parametrize("connected_to", [LEAF, HUB])
async def test_a_second_installation_of_the_name_in_the_other_domain_is_reported(pair: Pair, connected_to: str) -> None:
    hub, leaf = pair
    ours, options = (leaf, IN_HUB) if connected_to == LEAF else (hub, IN_LEAF)
    async with jetstream.connect(ours.url, options=options) as broker:
        await broker.declare()
        await broker.check()
    async with jetstream.connect(ours.url, options=OPTIONS) as another:
        await another.declare()
    said = f"stream JOBRELAY_REQUESTS is in the domain {connected_to}, too: each would settle the other's messages"
    async with jetstream.connect(ours.url, options=options) as broker:
        for look in (broker.check, broker.declare):
            with pytest.raises(TopologyDrift, match=said):
                await look()


async def test_the_domain_of_the_server_itself_may_be_named(pair: Pair) -> None:
    async with jetstream.connect(pair[0].url, options=IN_HUB) as broker:
        await use_everything(broker)
        await broker.check()


async def test_only_the_monitoring_of_the_servers_that_hold_the_stream_knows_what_waits(tmp_path: Path) -> None:
    """What KEDA's scaler asks for: see components/keda/nats."""
    ports = {HUB: free_port(), LEAF: free_port()}
    extra = {domain: f'http: "127.0.0.1:{port}"' for domain, port in ports.items()}
    async with leaf_node(tmp_path, extra=extra) as (_, leaf):
        await joined(leaf.url, IN_HUB)
        async with jetstream.connect(leaf.url, options=IN_HUB) as broker:
            await broker.declare()
            await publish(broker, 3)
        assert await lags(ports[HUB]) == {"jobrelay-high": 0, "jobrelay-normal": 3, "jobrelay-low": 0}
        assert await lags(ports[LEAF]) == {}


async def lags(port: int) -> dict[str, int]:
    """What waits in each consumer of the request stream, as the monitoring on that port says."""
    url = f"http://127.0.0.1:{port}/jsz?acc=$G&consumers=true&config=true"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        answer = await response.json(content_type=None)
    return {
        consumer["name"]: consumer["num_pending"] + consumer["num_ack_pending"]
        for account in answer.get("account_details") or ()
        for stream in account.get("stream_detail") or ()
        if stream["name"] == "JOBRELAY_REQUESTS"
        for consumer in stream["consumer_detail"]
    }
