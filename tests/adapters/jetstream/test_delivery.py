"""Claims about what a delivery on NATS says of itself."""

import pytest

from adapters.base import Kind
from adapters.jetstream import broker as jetstream
from adapters.jetstream.delivery import Receipt
from adapters.jetstream.options import JetStreamOptions
from adapters.servers.nats import NatsServer
from tests.adapters.harness import HIGH, emptied, ids, publish, soon, take
from tests.garbage.wire import wire


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.S.c.3.17.42.1795306793452135482.5",
        "$JS.ACK.hub.ACCOUNT.S.c.3.17.42.1795306793452135482.5",
        "$JS.ACK._.ACCOUNT.S.c.3.17.42.1795306793452135482.5.random",
    ],
)
def test_receipt_is_read_with_and_without_a_domain(reply: str) -> None:
    receipt = Receipt(reply)
    assert (receipt.stream, receipt.delivered, receipt.sequence, receipt.number) == ("S", 3, 17, 42)
    assert (receipt.time_ns, receipt.pending) == (1795306793452135482, 5)


@pytest.mark.broker
async def test_large_messages_come_as_far_as_they_fit_and_others_pass(server: NatsServer) -> None:
    large = b"x" * 1_000_000
    options = JetStreamOptions(max_bytes=2 << 20)
    async with jetstream.connect(server.url, options=options) as broker, wire(server.url) as raw:
        await broker.declare()
        for _ in range(6):
            assert "seq" in await raw.publish("jobrelay.requests", large)
        async with broker.subscribe(Kind.REQUESTS, prefetch=16) as subscription:
            held = await take(subscription, 2)
            assert await soon(subscription) is None, "two fill the budget"
            await publish(broker, 2, HIGH)
            assert ids(await take(subscription, 2, ack=True)) == ["m0", "m1"]
            for delivery in held:
                await delivery.ack()
            assert [delivery.body for delivery in await take(subscription, 4, ack=True)] == [large] * 4
            await emptied(broker)
