"""Claims about the frames that we write: they are those that pamqp writes."""

import pytest
from hypothesis import given, strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import FrameTypes, marshal
from pamqp.header import ContentHeader

from adapters.rabbitmq.wire import frames

channels = st.integers(1, (1 << 16) - 1)
tags = st.integers(1, (1 << 63) - 1)


@given(channels, tags)
def test_settlements_are_of_one_delivery(channel: int, tag: int) -> None:
    assert frames.ack(channel, tag) == marshal(Basic.Ack(tag, multiple=False), channel)
    assert frames.reject(channel, tag) == marshal(Basic.Reject(tag, requeue=True), channel)
    assert frames.nack(channel, tag) == marshal(Basic.Nack(tag, multiple=False, requeue=True), channel)


@given(
    channels,
    st.sampled_from(["", "jobrelay.requests"]),
    st.text("aä.", max_size=9),
    st.binary(max_size=50),
    st.integers(1, 20),
)
def test_publish_is_mandatory_and_its_body_fits_into_its_frames(
    channel: int, exchange: str, key: str, body: bytes, largest: int
) -> None:
    properties = Basic.Properties(message_id="m1", delivery_mode=2)
    parts = [body[at : at + largest] for at in range(0, len(body), largest)]
    expected: list[FrameTypes] = [
        Basic.Publish(exchange=exchange, routing_key=key, mandatory=True),
        ContentHeader(body_size=len(body), properties=properties),
        *map(ContentBody, parts),
    ]
    sent = frames.publish(channel, exchange, key, properties.marshal(), body, largest=largest)
    assert sent == b"".join(marshal(each, channel) for each in expected)


@pytest.mark.parametrize(("exchange", "key"), [("e" * 256, ""), ("", "ä" * 128)])
def test_name_that_does_not_fit_is_not_cut(exchange: str, key: str) -> None:
    with pytest.raises(ValueError, match="256"):
        frames.publish(1, exchange, key, b"", b"", largest=100)
