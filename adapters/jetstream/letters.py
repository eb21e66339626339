"""Stores dead letters on NATS JetStream, in a stream of a bounded size.

While there is room, whole. Close to the bound without their bodies, and beyond it not at all: a full store must not
keep requests from being refused, or one publisher of garbage would hold up everybody.
"""

import logging

from adapters import headers as stamps
from adapters.base import Kind, Topic
from adapters.jetstream.errors import ApiError
from adapters.jetstream.stores import Stores, full
from adapters.jetstream.topology import StreamNames

logger = logging.getLogger(__name__)

RESERVE = 0.1
"""The part of the store that takes letters without their bodies only."""


class Letters:
    """`cut`: how many were stored without their bodies; `lost`: how many were not stored."""

    def __init__(self, stores: Stores, names: StreamNames) -> None:
        self.stores = stores
        self._names = names
        self._full = 0.0
        self.cut = 0
        self.lost = 0

    def measured(self, full: float) -> None:
        """The part of the store that was in use when somebody looked, from 0 to 1; 0 without a bound."""
        self._full = full

    async def store(self, topic: Topic, body: bytes, headers: dict[str, str], *, message_id: str) -> None:
        """Store what came on `topic`; `headers` say why it is dead. `message_id` lets the server drop a repeat.

        Returns also where there is no room, with an error in the log. Raises `BrokerUnavailable`.
        """
        origin = Topic(Kind.DEAD, str(topic))
        repeat = {"Nats-Msg-Id": message_id}
        if self._full < 1 - RESERVE and await self._fits(origin, body, headers | repeat):
            return
        if await self._fits(origin, b"", stamps.without_body(headers, body) | repeat):
            self.cut += 1
            logger.warning("%s is nearly full: a dead letter is kept without its %d bytes", self._stream, len(body))
            return
        self.lost += 1
        logger.error("%s is full: a message was refused, and there is no dead letter of it", self._stream)

    @property
    def _stream(self) -> str:
        return self._names.stream(Kind.DEAD)

    async def _fits(self, topic: Topic, body: bytes, headers: dict[str, str]) -> bool:
        try:
            await self.stores.store(topic, body, headers)
        except ApiError as error:
            # Other failures pass.
            if full(error):
                return False
            raise
        return True
