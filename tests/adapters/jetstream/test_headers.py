"""Headers that clients other than ours write on NATS: bytes that are no UTF-8, and headers that are there twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.base import Delivery, Kind
from adapters.jetstream import broker as jetstream
from adapters.servers.nats import NatsServer
from events.cloudevent.event import InvalidEvent
from tests.adapters.harness import next_delivery, take
from tests.garbage.wire import block, wire

pytestmark = pytest.mark.broker

EVENT = ((b"ce-specversion", b"1.0"), (b"ce-id", b"e1"), (b"ce-source", b"/tests"), (b"ce-type", b"com.example.made"))


@asynccontextmanager
async def published(server: NatsServer, *headers: tuple[bytes, bytes]) -> AsyncIterator[Delivery]:
    """The delivery of a message with these headers as they are."""
    async with jetstream.connect(server.url) as broker, wire(server.url) as raw:
        await broker.declare()
        assert "seq" in await raw.publish("jobrelay.requests", b"", block(*headers))
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            yield await next_delivery(subscription)


def refusal(delivery: Delivery) -> str:
    with pytest.raises(InvalidEvent) as caught:
        delivery.event()
    return caught.value.reason


@pytest.mark.parametrize("value", [b"\xfc1", b"\xf61"])
async def test_an_id_that_is_not_utf_8_is_refused_and_not_made_equal_to_others(
    server: NatsServer, value: bytes
) -> None:
    async with published(server, EVENT[0], *EVENT[2:], (b"Ce-Id", value)) as delivery:
        assert refusal(delivery) == "attribute id is not UTF-8 in its header: percent-encode it"


@pytest.mark.parametrize("name", [b"ce-id", b"CE-ID", b"Ce-Id"])
async def test_a_header_that_is_there_twice_is_refused_also_once_it_is_replayed(
    server: NatsServer, name: bytes
) -> None:
    async with published(server, *EVENT, (name, b"e2")) as delivery:
        assert refusal(delivery) == "header 'ce-id' is there twice"
        await delivery.reject("INVALID_EVENT", "twice")
    async with jetstream.connect(server.url) as broker:
        async with broker.dead_letters() as letters:
            await (await anext(letters)).replay()
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            assert refusal(await next_delivery(subscription)) == "header 'ce-id' is there twice"


async def test_nobody_can_have_the_copy_of_another_message_dropped(server: NatsServer) -> None:
    async with jetstream.connect(server.url) as broker, wire(server.url) as raw:
        await broker.declare()
        for purpose in (b"again", b"dead"):
            forged = block((b"Nats-Msg-Id", purpose + b"/JOBRELAY_REQUESTS/3"))
            assert "seq" in await raw.publish("jobrelay.requests.low", b"forged", forged)
        assert "seq" in await raw.publish("jobrelay.requests.high", b"theirs")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            found = {delivery.body: delivery for delivery in await take(subscription, 3)}
            assert found[b"theirs"].message_id == "JOBRELAY_REQUESTS/3"
            await found[b"theirs"].retry(0)
            assert (await next_delivery(subscription)).body == b"theirs"


async def test_a_header_of_others_may_be_there_twice(server: NatsServer) -> None:
    async with published(server, *EVENT, (b"X-Trace", b"1"), (b"X-Trace", b"2")) as delivery:
        assert delivery.event().get_id() == "e1"


async def test_an_attribute_whose_name_is_not_ascii_is_refused_not_dropped(server: NatsServer) -> None:
    async with published(server, *EVENT, ("ce-größe".encode(), b"1")) as delivery:
        assert "must have a name of a-z and 0-9" in refusal(delivery)
