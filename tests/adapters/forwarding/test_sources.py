"""Claims about JOBRELAY_REQUESTS copying the events of another stream."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Kind
from adapters.jetstream import broker as jetstream
from adapters.jetstream.broker import JetStreamBroker
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.errors import ApiError, TooLarge
from adapters.jetstream.options import JetStreamOptions
from adapters.servers import nats as natsserver
from adapters.servers.free_port import free_port
from adapters.servers.nats import NatsServer
from adapters.servers.process import running
from tests.adapters.brokers import OPTIONS
from tests.adapters.forwarding.shown import BODY, binary, block, document, expected, read, structured
from tests.adapters.harness import next_delivery, nothing_comes, records, take, until

pytestmark = pytest.mark.broker
SHOP: Mapping[str, object] = {"name": "SHOP", "subjects": ["shop.>"], "storage": "file"}
SOURCES = document("sources")
SMALL = JetStreamOptions(requests_max_bytes=20_000)


@pytest.fixture
async def link(server: NatsServer) -> AsyncIterator[Connection]:
    async with connection(server.url, OPTIONS) as opened:
        yield opened


async def config(link: Connection, stream: str) -> dict[str, Any]:
    found: dict[str, Any] = (await link.api(f"STREAM.INFO.{stream}"))["config"]
    return found


async def edit(link: Connection, more: Mapping[str, object], stream: str = "JOBRELAY_REQUESTS") -> None:
    """What the two commands on the page do."""
    await link.api(f"STREAM.UPDATE.{stream}", {**await config(link, stream), **more})


def with_source(**more: object) -> Mapping[str, object]:
    """The block of the page, with more beside `name`."""
    (source,) = SOURCES["sources"]
    return {"sources": [source | more]}


async def prepared(link: Connection, broker: JetStreamBroker) -> None:
    """As the page has it: the shop's stream, and jobrelay's that copies from it."""
    await broker.declare()
    await link.api("STREAM.CREATE.SHOP", SHOP)
    await edit(link, SOURCES)


async def ids(broker: JetStreamBroker, count: int) -> list[str]:
    """The ids of the next requests, and that no more come."""
    async with broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
        found = [str(read(delivery)["id"]) for delivery in await take(subscription, count, ack=True)]
        assert await nothing_comes(subscription)
    return found


async def test_events_arrive_whole_and_once_whatever_restarts(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await prepared(link, broker)
        await broker.check()
        async with broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
            await link.store("shop.images.uploaded", BODY, binary(1))
            assert read(await next_delivery(subscription)) == expected(1)
            await link.store("shop.urgent.uploaded", structured(2), {})
            assert read(await next_delivery(subscription)) == expected(2, lane="high")
            await link.store("shop.orders.made", BODY, binary(3))
            assert await nothing_comes(subscription)
        # Unsettled, so they come again: now they are settled.
        assert sorted(await ids(broker, 2)) == ["1", "2"]
    await server.kill()
    await server.start()
    async with (
        connection(server.url, OPTIONS) as again,
        jetstream.connect(server.url, options=OPTIONS) as broker,
        broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription,
    ):
        assert await nothing_comes(subscription)
        await again.store("shop.images.uploaded", BODY, binary(4))
        assert read(await next_delivery(subscription)) == expected(4)
        await broker.declare()


async def test_tried_again_and_kept_dead_nothing_of_the_source_is_left(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await prepared(link, broker)
        await link.store("shop.images.uploaded", BODY, binary(1) | {"Nats-Msg-Id": "/shop/1"})
        async with broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
            await (await next_delivery(subscription)).retry(0)
            second = await next_delivery(subscription)
            assert (second.attempt, read(second)) == (2, expected(1))
            await second.reject("CODE", "why")
        (letter,) = await records(broker, Kind.DEAD)
        assert letter.body == BODY
        assert [name for name in letter.headers if name in binary(1)] == list(binary(1))
        assert "Nats-Stream-Source" not in letter.headers


@pytest.mark.long
async def test_event_larger_than_ours_stops_the_source_until_it_is_removed(
    server: NatsServer, link: Connection
) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await prepared(link, broker)
        assert (await config(link, "JOBRELAY_REQUESTS"))["max_msg_size"] == 1_032_192
        await link.store("shop.images.uploaded", b"x" * 1_040_000, binary(1))
        await link.store("shop.images.uploaded", BODY, binary(2))

        async def complained() -> bool:
            return "maximum payload exceeded" in server.log.read_text()

        await until(complained)
        async with broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
            assert await nothing_comes(subscription)
            await link.api("STREAM.MSG.DELETE.SHOP", {"seq": 1})
            assert read(await next_delivery(subscription)) == expected(2)
        await edit(link, {"max_msg_size": 1_032_192}, "SHOP")
        with pytest.raises(TooLarge):
            await link.store("shop.images.uploaded", b"x" * 1_040_000, binary(3))


@pytest.mark.long
async def test_what_does_not_fit_waits_in_its_own_stream(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url, options=SMALL) as broker:
        await prepared(link, broker)
        for number in range(5):
            await link.store("shop.images.uploaded", b'"' + b"x" * 9_000 + b'"', binary(number))

        async def full() -> bool:
            return int((await link.api("STREAM.INFO.JOBRELAY_REQUESTS"))["state"]["messages"]) == 2

        await until(full)
        assert await ids(broker, 5) == ["0", "1", "2", "3", "4"]


async def test_same_message_id_from_anywhere_is_dropped(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await prepared(link, broker)
        await link.store("jobrelay.requests", BODY, binary("first") | {"Nats-Msg-Id": "1"})
        await link.store("shop.images.uploaded", BODY, binary("lost") | {"Nats-Msg-Id": "1"})
        await link.store("shop.images.uploaded", BODY, binary("next") | {"Nats-Msg-Id": "2"})
        assert await ids(broker, 2) == ["first", "next"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("used", "more", "come"),
    [
        (False, {}, ["old", "new"]),
        (True, {}, ["new"]),
        (False, {"opt_start_time": "2100-01-01T00:00:00Z"}, []),
    ],
)
async def test_what_comes_first(
    server: NatsServer, link: Connection, used: bool, more: Mapping[str, object], come: list[str]
) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await broker.declare()
        await link.api("STREAM.CREATE.SHOP", SHOP)
        await link.store("shop.images.uploaded", BODY, binary("old"))
        if used:
            await link.store("jobrelay.requests", BODY, binary("direct"))
            assert await ids(broker, 1) == ["direct"]
        await link.store("shop.images.uploaded", BODY, binary("new"))
        await edit(link, with_source(**more))
        assert await ids(broker, len(come)) == come


@pytest.mark.long
async def test_changed_transforms_bring_nothing_twice(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await prepared(link, broker)
        await link.store("shop.images.uploaded", BODY, binary(1))
        assert await ids(broker, 1) == ["1"]
        transforms = [*SOURCES["sources"][0]["subject_transforms"], {"src": "shop.a.*.*", "dest": "jobrelay.requests"}]
        await edit(link, with_source(subject_transforms=transforms))
        await link.store("shop.a.b.c", BODY, binary(2))
        assert await ids(broker, 1) == ["2"]


@pytest.mark.long
async def test_what_the_server_refuses_and_what_it_should_have_refused(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await broker.declare()
        await link.api("STREAM.CREATE.SHOP", SHOP)
        with pytest.raises(ApiError, match="filter"):
            await edit(link, with_source(filter_subject="shop.images.*"))
        with pytest.raises(ApiError, match="transform"):
            await edit(link, with_source(subject_transforms=[{"src": "shop.>", "dest": "jobrelay.requests"}]))
        await link.store("shop.images.uploaded", BODY, binary(1))
        await edit(link, {"sources": [{"name": "SHOP"}]})

        async def copied() -> bool:
            return int((await link.api("STREAM.INFO.JOBRELAY_REQUESTS"))["state"]["messages"]) == 1

        await until(copied)
        assert all(depth.ready == 0 for depth in (await broker.depth()).values())


async def test_events_of_another_account(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, extra=block("conf", "accounts")) as server:
        shop, ours = (server.url.replace("//", f"//{user}:pw@") for user in ("shop", "jobrelay"))
        external = {"api": "JS.SHOP.API", "deliver": "deliver.jobrelay"}
        await bring(theirs=shop, ours=ours, external=external, before=server)


class Domain(NatsServer):
    """A server with a JetStream domain."""

    domain = ""

    def _config(self) -> str:
        return super()._config().replace("{ store_dir", f"{{ domain: {self.domain}, store_dir")


@pytest.mark.long
async def test_events_of_a_leaf_node(tmp_path: Path) -> None:
    meeting = f"127.0.0.1:{free_port()}"
    hub = Domain(tmp_path / "hub", extra=f'server_name: hub\nleafnodes {{ listen: "{meeting}" }}')
    leaf = Domain(
        tmp_path / "leaf", extra=f'server_name: leaf\nleafnodes {{ remotes: [{{ url: "nats://{meeting}" }}] }}'
    )
    hub.domain, leaf.domain = "hub", "shop"
    async with running(hub), running(leaf):
        await bring(theirs=leaf.url, ours=hub.url, external={"api": "$JS.shop.API"}, before=leaf)


async def bring(*, theirs: str, ours: str, external: Mapping[str, str], before: NatsServer) -> None:
    """Events arrive, also after the server `before` was killed, and none twice."""
    async with (
        connection(theirs, OPTIONS) as shop,
        connection(ours, OPTIONS) as link,
        jetstream.connect(ours, options=OPTIONS) as broker,
    ):
        await broker.declare()
        await shop.api("STREAM.CREATE.SHOP", SHOP)
        await edit(link, with_source(external=external))
        await broker.check()
        await shop.store("shop.images.uploaded", BODY, binary(1))
        assert await ids(broker, 1) == ["1"]
    await before.kill()
    await before.start()
    async with connection(theirs, OPTIONS) as shop, jetstream.connect(ours, options=OPTIONS) as broker:
        await shop.store("shop.urgent.uploaded", BODY, binary(2))
        assert await ids(broker, 1) == ["2"]
