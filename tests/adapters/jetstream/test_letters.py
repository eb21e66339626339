"""Claims about dead letters on NATS when there is little room for them, or none."""

import logging

import pytest

from adapters import headers as stamps
from adapters.base import Kind, TopicRefused
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import connection
from adapters.jetstream.errors import ApiError
from adapters.jetstream.options import JetStreamOptions
from adapters.servers.nats import NatsServer
from events.request.control import parse_control
from handler.controller.letters import Letters
from handler.controller.waitingroom import PutBack
from tests.adapters.harness import emptied, publish, records, take
from tests.garbage.wire import block, wire
from tests.handler.samples import make_command

pytestmark = pytest.mark.broker
SMALL = JetStreamOptions(requests_max_bytes=64 << 20, dead_max_bytes=1 << 20)


async def test_a_full_store_of_dead_letters_stops_no_refusal(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = b"x" * 200_000
    async with jetstream.connect(server.url, options=SMALL) as broker, wire(server.url) as raw:
        await broker.declare()
        for _ in range(8):
            headers = block((b"ce-id", b"e1"), (b"X-Long", b"y" * 5000), (b"jobrelay-left-out", b"forged"))
            assert "seq" in await raw.publish("jobrelay.requests", garbage, headers)
        async with broker.subscribe(Kind.REQUESTS, prefetch=8) as subscription:
            for number, delivery in enumerate(await take(subscription, 8)):
                if number == 4:
                    assert (await broker.fill())[Kind.DEAD] > 0.7
                await delivery.reject("INVALID_EVENT", "garbage")
            await emptied(broker)
        found = await records(broker, Kind.DEAD)
        whole = [record for record in found if record.body]
        assert {stamps.LEFT_OUT in record.headers for record in whole} == {False}
        (cut, *_) = (record for record in found if not record.body)
        assert cut.headers["ce-id"] == "e1"
        assert "X-Long" not in cut.headers
        assert cut.headers[stamps.CODE] == "INVALID_EVENT"
        assert cut.headers[stamps.LEFT_OUT].startswith("200000 bytes, sha256:")
        assert (len(whole), len(found), broker.mishaps.letters_cut, broker.mishaps.letters_lost) == (5, 8, 3, 0)
        async with broker.dead_letters() as letters:
            all_letters = [letter async for letter in letters]
            with pytest.raises(TopicRefused, match="body was not kept"):
                await all_letters[-1].replay()
            await all_letters[0].replay()


async def test_without_any_room_the_refusal_goes_on_and_is_told(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with jetstream.connect(server.url, options=SMALL) as broker, connection(server.url, SMALL) as link:
        await broker.declare()
        for size in (100_000, 0):
            with pytest.raises(ApiError, match="maximum bytes"):
                while True:
                    await link.store("jobrelay.dead.requests", b"x" * size, {})
        await publish(broker, 3)
        async with broker.subscribe(Kind.REQUESTS, prefetch=8) as subscription:
            for delivery in await take(subscription, 3):
                await delivery.reject("FORBIDDEN", "why")
            await emptied(broker)
        assert broker.mishaps.letters_lost == 3
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["JOBRELAY_DEAD is full: a message was refused, and there is no dead letter of it"] * 3


async def test_a_command_waits_at_the_broker_while_the_letters_cannot_be_read(server: NatsServer) -> None:
    async with jetstream.connect(server.url, options=SMALL) as broker:
        letters = Letters(lambda: broker)
    with pytest.raises(PutBack, match="cannot be read") as caught:
        await letters.carry_out(parse_control(make_command("drop", "1")))
    assert caught.value.counts
