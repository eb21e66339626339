"""Claims about what a delivery on NATS says of itself."""

import pytest

from adapters.jetstream.delivery import Receipt


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
