"""Publishes to RabbitMQ: persistent, confirmed, routed or refused. It does not know what messages mean."""

import asyncio
import itertools
from collections import defaultdict
from weakref import WeakKeyDictionary

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.client import NotTaken, ServerRefused, Unanswered, Unroutable, translated
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.outlet import Outcome, Outlet
from adapters.rabbitmq.outlets import TRIAL_SECONDS, Outlets
from adapters.rabbitmq.wire.properties import Properties
from adapters.untaken import Untaken

ALARM = "RabbitMQ blocks publishers: an alarm, for want of memory or disk"
"""Only a connection that has published learns of it."""
_FORBIDDEN, _CONTENT_TOO_LARGE, _PRECONDITION = 403, 311, 406
PERSISTENT = 2
SEEN_SECONDS = 1.0
"""A queue that was found is taken to be there for this long, unless the channel is lost meanwhile."""


class Publisher:
    """All publishes to an exchange share a channel: one that waits for a frozen node holds up all that come after it.

    What was in flight when a channel closes is tried again, each on a channel of its own. What a queue did not take is
    tried on another channel, which replaces the shared one if that helps; so is, while there is time, what was
    published on a channel on which nothing is answered.
    """

    def __init__(self, connection: Connection) -> None:
        self._untaken = Untaken[str]()
        self._connection = connection
        self._outlets = defaultdict[str, Outlets](lambda: Outlets(connection))
        self._in_flight: set[str] = set()
        self._numbers = itertools.count(1)
        self._checking = asyncio.Lock()
        self._missed: tuple[str, BrokerUnavailable | None, float] = ("", None, 0.0)
        self._known: WeakKeyDictionary[Outlet, tuple[str, float]] = WeakKeyDictionary()

    async def store(
        self, exchange: str, key: str, body: bytes, properties: Properties, *, needs: str | None = None
    ) -> None:
        """Return once every queue that is bound for it has stored it. `properties` are made persistent.

        `needs` is a queue that must be among them: while it is missing, or its node has just started and does not have
        it yet, RabbitMQ is content with any other.

        Raises `BrokerUnavailable`; where the cause is known, `Unroutable`, `NotTaken` or `ServerRefused`.
        """
        if self._connection.blocked:
            raise BrokerUnavailable(ALARM)
        properties.delivery_mode = PERSISTENT
        properties.message_id = name = self._name(properties.message_id or "")
        self._in_flight.add(name)
        try:
            await self._store(exchange, key, body, properties, needs)
            self._untaken.stored(exchange)
        except BrokerUnavailable as error:
            if type(error) in (BrokerUnavailable, Unanswered) and self._connection.blocked:
                raise BrokerUnavailable(ALARM) from error
            if self._connection.connected:
                self._note(exchange, error)
            raise
        finally:
            self._in_flight.discard(name)

    def _note(self, exchange: str, error: BrokerUnavailable) -> None:
        """Errors that are about the message or the connection are passed over."""
        if isinstance(error, NotTaken):
            self._untaken.failed(exchange, "refused: a queue is full, or its leader is away")
        elif isinstance(error, Unanswered):
            self._untaken.failed(exchange, "not confirmed in time, as without a quorum")

    def problem(self) -> str:
        """The exchanges to which the last publish was not stored, and how it was not; empty if there are none."""
        known = self._untaken.known().items()
        return "; ".join(f"what is published to exchange {name} is {how}" for name, how in known)

    def _name(self, message_id: str) -> str:
        # The server returns what it cannot route without saying which publish it was: ids in flight must differ.
        name = message_id or f"m{next(self._numbers)}"
        while name in self._in_flight:
            name = f"{message_id[:200]}/{next(self._numbers)}"
        return name

    async def _store(self, exchange: str, key: str, body: bytes, properties: Properties, needs: str | None) -> None:
        outlets = self._outlets[exchange]
        loop = asyncio.get_running_loop()
        until = loop.time() + self._connection.options.publish_timeout
        async with outlets.room(f"publishing to {exchange}", until):
            while True:
                # Nothing may come between getting the channel and sending on it.
                while not self._is_known(needs, outlet := await outlets.shared()):
                    await self._require(needs, outlet)
                try:
                    return await self._send(outlet, exchange, key, body, properties)
                except Unanswered:
                    if self._connection.blocked:
                        raise
                    outlets.doubt(outlet)
                    if loop.time() >= until:
                        raise
                except NotTaken:
                    if outlet.age < TRIAL_SECONDS:
                        raise
                    other = await outlets.other_than(outlet)
                    await self._require(needs, other)
                    await self._send(other, exchange, key, body, properties)
                    return outlets.prefer(other, outlet)

    async def _send(self, outlet: Outlet, exchange: str, key: str, body: bytes, properties: Properties) -> None:
        try:
            await _publish(outlet, exchange, key, body, properties)
        except ServerRefused:
            # The refusal closed the channel, and everything in flight failed: alone, each shows whether it is at fault.
            alone = await self._connection.open_outlet()
            try:
                await _publish(alone, exchange, key, body, properties)
            finally:
                await close_channel(alone)

    async def _require(self, queue: str | None, outlet: Outlet) -> None:
        """Raises `BrokerUnavailable` when it is missing."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        async with self._checking:
            if queue is None or self._is_known(queue, outlet):
                return
            missed, error, at = self._missed
            if error is not None and missed == queue and at >= asked_at:
                # However many wait for this, they all wait for one answer.
                raise error
            try:
                async with self._connection.channel() as other, self._connection.answered(f"queue {queue}"):
                    await other.queue_declare(queue, passive=True)
            except BrokerUnavailable as failed:
                self._missed = (queue, failed, loop.time())
                raise
            # Counted from now: however long the reply took, it must serve for this event.
            self._known[outlet] = (queue, loop.time())

    def _is_known(self, queue: str | None, outlet: Outlet) -> bool:
        known, since = self._known.get(outlet, (None, 0.0))
        return queue is None or (queue == known and asyncio.get_running_loop().time() - since < SEEN_SECONDS)

    async def close(self) -> None:
        """Never raises."""
        await asyncio.gather(*(outlets.close() for outlets in self._outlets.values()))


async def _publish(outlet: Outlet, exchange: str, key: str, body: bytes, properties: Properties) -> None:
    what = f"publishing to {exchange}"
    try:
        outcome = await outlet.publish(exchange, key, body, properties)
    except Exception:
        with translated(what):
            raise
    match outcome:
        case Outcome.RETURNED:
            raise Unroutable(f"{what}: no queue is bound for it")
        case Outcome.NOT_TAKEN:
            raise NotTaken(f"{what}: the queue did not take it")


def too_large(error: ServerRefused) -> bool:
    """Whether the message is over the server's max_message_size."""
    return error.code == _CONTENT_TOO_LARGE or (error.code == _PRECONDITION and "size" in error.text)


def forbidden(error: ServerRefused) -> bool:
    """Whether the user may not publish there."""
    return error.code == _FORBIDDEN
