"""Claims about mappings and republishing, which move messages from subject to subject."""

from pathlib import Path

import pytest

from adapters.base import Kind
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import connection
from adapters.jetstream.errors import ApiError
from adapters.jetstream.message import Message
from adapters.jetstream.options import JetStreamOptions
from adapters.servers import nats as natsserver
from adapters.servers.nats import NatsServer
from tests.adapters.brokers import OPTIONS
from tests.adapters.forwarding.shown import BODY, binary, block, expected, read, structured
from tests.adapters.harness import next_delivery, nothing_comes, take

pytestmark = pytest.mark.broker
SHOP = {"name": "SHOP", "subjects": ["shop.>"], "storage": "file"}
SMALL = JetStreamOptions(requests_max_bytes=20_000)
LARGE = b'"' + b"x" * 9_000 + b'"'


async def test_mapping_moves_messages_and_our_stream_acknowledges_them(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, extra=block("conf", "mappings")) as server:
        async with (
            connection(server.url, OPTIONS) as shop,
            jetstream.connect(server.url, options=OPTIONS) as broker,
            broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription,
        ):
            await broker.declare()
            await shop.api("STREAM.CREATE.SHOP", SHOP)
            heard: list[str] = []

            def hear(message: Message) -> None:
                heard.append(message.subject)

            await shop.interest("shop.images", hear)
            answer = await shop.request("shop.images.uploaded", BODY, headers=binary(1))
            assert b'"JOBRELAY_REQUESTS"' in answer
            assert read(await next_delivery(subscription)) == expected(1)
            shop.send("shop.urgent.uploaded", structured(2))
            assert read(await next_delivery(subscription)) == expected(2, lane="high")
            await shop.flush()
            assert heard == []
            assert (await shop.api("STREAM.INFO.SHOP"))["state"]["messages"] == 0
        await server.kill()
        await server.start()
        async with (
            jetstream.connect(server.url, options=OPTIONS) as broker,
            broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription,
        ):
            # They were not settled.
            assert len(await take(subscription, 2, ack=True)) == 2
            assert await nothing_comes(subscription)


@pytest.mark.long
async def test_full_stream_refuses_what_is_mapped(tmp_path: Path) -> None:
    async with (
        natsserver.run(tmp_path, extra=block("conf", "mappings")) as server,
        connection(server.url, OPTIONS) as shop,
        jetstream.connect(server.url, options=SMALL) as broker,
    ):
        await broker.declare()
        for number in range(2):
            await shop.store("shop.images.uploaded", LARGE, binary(number))
        with pytest.raises(ApiError, match="maximum bytes"):
            await shop.store("shop.images.uploaded", LARGE, binary(2))


@pytest.mark.long
async def test_republished_events_that_do_not_fit_are_lost(server: NatsServer) -> None:
    async with (
        connection(server.url, OPTIONS) as shop,
        jetstream.connect(server.url, options=SMALL) as broker,
        broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription,
    ):
        await broker.declare()
        await shop.api(
            "STREAM.CREATE.SHOP", SHOP | {"republish": {"src": "shop.images.*", "dest": "jobrelay.requests"}}
        )
        for number in range(5):
            await shop.store("shop.images.uploaded", LARGE, binary(number))
        assert (await shop.api("STREAM.INFO.SHOP"))["state"]["messages"] == 5
        assert [read(delivery)["id"] for delivery in await take(subscription, 2, ack=True)] == ["0", "1"]
        assert await nothing_comes(subscription)
