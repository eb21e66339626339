"""Tries whether the broker stores anything. That queues exist says nothing of it: to look them up needs no majority."""

import asyncio

from adapters.base import BrokerUnavailable, Kind
from adapters.rabbitmq.client import ServerRefused, Unanswered, translated
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.outlet import Outcome
from adapters.rabbitmq.publisher import ALARM, PERSISTENT
from adapters.rabbitmq.topology import QueueNames
from adapters.rabbitmq.wire.properties import Properties

AGAIN_SECONDS = 0.3
_FORBIDDEN, _MISSING = 403, 404


class Probe:
    """Publishes into a queue of its own, in which each message replaces the last."""

    def __init__(self, connection: Connection, names: QueueNames) -> None:
        self._connection = connection
        self._queue = names.probe
        self._exchange = names.exchange(Kind.CONTROL)
        self._may = True

    async def ask(self) -> None:
        """Return if a message is stored, and where it cannot be told: without the queue, or the permission to publish.

        Raises `BrokerUnavailable`.
        """
        if self._connection.blocked:
            raise BrokerUnavailable(ALARM)
        if not self._may:
            return
        now = asyncio.get_running_loop().time
        until = now() + self._connection.options.publish_timeout
        while await self._tried() is Outcome.NOT_TAKEN:
            # At once where the leader's node has gone, however soon there is another leader.
            if now() > until:
                raise BrokerUnavailable(self._lost("refuses messages"))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _tried(self) -> Outcome | None:
        """None where the server does not let us try."""
        try:
            return await self._publish()
        except ServerRefused as error:
            if error.code not in (_FORBIDDEN, _MISSING):
                raise
            self._may = error.code != _FORBIDDEN
            return None
        except Unanswered as error:
            # Without a majority RabbitMQ says nothing, and a node that is frozen says nothing at all.
            async with self._connection.channel():
                pass
            raise BrokerUnavailable(self._lost("has not confirmed a message in time")) from error

    def _lost(self, how: str) -> str:
        return f"the broker has no quorum for queue {self._queue}: it {how}. Too few of the nodes that have it are up"

    async def _publish(self) -> Outcome:
        # On a channel that was there before, a broker may go on refusing when all is well again.
        outlet = await self._connection.open_outlet()
        properties = Properties(message_id=self._queue, delivery_mode=PERSISTENT)
        try:
            with translated(f"publishing to {self._queue}"):
                return await outlet.publish(self._exchange, self._queue, b"", properties)
        finally:
            await close_channel(outlet)
