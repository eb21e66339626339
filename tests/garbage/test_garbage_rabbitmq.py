"""Garbage on RabbitMQ, whose headers have types: it gets an outcome, and never delays a good request.

`make test` publishes garbage on NATS only; tests/adapters/rabbitmq/test_delivery.py sends what only AMQP can carry.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError
from hypothesis import strategies as st

from adapters.headers import CODE
from events.cloudevent.binding import from_amqp
from events.identity import request_label
from events.names import Label
from events.request.control import parse_control
from events.request.request import Request
from tests.adapters.conftest import need_rabbit
from tests.amqp import client, subscribed
from tests.garbage.judging import JUDGED_WITHIN, Judged, each_is_judged
from tests.garbage.strategies import encoded, odd_attributes, odd_data, request_json, wild_json, wild_text
from tests.long import LONG
from tests.processes import RABBITMQ, installation

pytestmark = [pytest.mark.long, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(1200 if LONG else 300)]

MARK = "x-number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`to`: exchange and routing key."""

    to: tuple[str, str]
    body: bytes
    headers: Mapping[str, Any]
    content_type: str | None


_places = st.sampled_from(
    [
        *(("jobrelay.requests", key) for key in ("", "high", "low", "no.such.lane", "ä", "k" * 255)),
        ("jobrelay.control", "jobrelay.control"),
    ]
)
_types = st.none() | st.sampled_from(
    ["application/cloudevents+json", "application/cloudevents", "application/cloudevents-batch+json", "text/plain",
     "application/json", "application/cloudevents+json; charset=utf-16", "application/cloudevents+xml", "", ";",
     "a" * 255]
)  # fmt: skip
_attributes = st.sampled_from(["id", "source", "type", "specversion", "subject", "time", "", "a b", "datacontenttype"])
_prefixed = st.builds("{}{}".format, st.sampled_from(["ce-", "CE-", "cloudEvents:", "cloudEvents_"]), _attributes)
_names = _prefixed | st.sampled_from(
    ["Content-Type", "jobrelay-attempts", "jobrelay-code", "x-death", "x-delivery-count", "", "n" * 128]
)
_encodable = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, width=32)
    | _encodable
    | st.sampled_from(["1.0", "h" * 20_000, "999999", datetime(2026, 1, 1, tzinfo=UTC), bytearray(b"\xff\xfe")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)
_bodies = (
    st.binary(max_size=300)
    | st.integers(0, 200).map(lambda cut: encoded(request_json())[:cut])
    | wild_json.map(encoded)
    | st.builds(lambda text: encoded(request_json(id=text)), wild_text)
    | st.just(encoded(request_json()["data"]))
)
_requests = (odd_data() | odd_attributes()).map(lambda message: message.body)
garbage = st.builds(
    lambda to, body, headers, content_type: Message(to=to, body=body, headers=headers, content_type=content_type),
    _places,
    _bodies | _requests,
    st.just({}) | st.dictionaries(_names, _values, max_size=6),
    _types,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(Judged[Message]):
    """A running installation, a plain client of its broker, and every dead letter by its number."""

    url: str
    letters: dict[int, DeliveredMessage]

    async def judged(self, message: Message) -> str:
        """The outcome: its dead letter's code, `job`, `answered` (a control event) or `refused` by the broker."""
        number = next(self.numbers)
        headers = {**message.headers, MARK: number}
        try:
            # A connection for each message: a refusal by the broker closes the channel.
            async with client(self.url) as sender:
                await sender.publish(*message.to, message.body, headers=headers, content_type=message.content_type)
        except AMQPError as error:
            print(f"refused: {error!r} {message}"[:300])
            return "refused"
        begun = time.monotonic()
        while time.monotonic() - begun < JUDGED_WITHIN:
            if letter := self.letters.get(number):
                assert letter.body == message.body
                return str((letter.header.properties.headers or {})[CODE])
            if accepted := await self._accepted(message):
                return accepted
            await asyncio.sleep(0.01)
        raise AssertionError(f"neither dead letter nor Job: {message}")

    async def _accepted(self, message: Message) -> str | None:
        """The outcome if nothing is wrong with the message, once it is known."""
        try:
            event = from_amqp(message.headers, message.content_type, message.body)
            if message.to[0] == "jobrelay.control":
                parse_control(event)
                return "answered"
            label = request_label(Request.of(event).id)
        except ValueError:
            return None
        return "job" if await self.cluster.list_jobs("default", f"{Label.REQUEST}={label}") else None


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    need_rabbit()
    letters: dict[int, DeliveredMessage] = {}

    def take(message: DeliveredMessage) -> None:
        letters[int(str((message.header.properties.headers or {})[MARK]))] = message

    async with AsyncExitStack() as exits:
        here = await exits.enter_async_context(installation(tmp_path, brokers=[RABBITMQ]))
        relay = await here.start_relay({"JOBRELAY_CONTROL_WAIT": "0"})
        url = here.rabbit.url
        await exits.enter_async_context(subscribed(url, "jobrelay.dead", take, queue="letters", kind="fanout"))
        yield Stack(
            relay=relay,
            broker=await exits.enter_async_context(here.broker()),
            cluster=await exits.enter_async_context(here.cluster()),
            url=url,
            letters=letters,
        )
        assert relay.exit_code is None
        assert "Traceback" not in relay.output(), "garbage is refused without an error of ours"


async def test_no_garbage_over_amqp_delays_a_good_request(stack: Stack) -> None:
    await each_is_judged(stack, garbage)
