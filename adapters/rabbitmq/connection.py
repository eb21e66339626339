"""A connection to RabbitMQ that restores itself. Channels on it do not: whoever had one opens another."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from weakref import WeakSet

from adapters.background import running
from adapters.base import BrokerUnavailable
from adapters.listeners import Listeners
from adapters.pauses import Pauses
from adapters.rabbitmq.client import Channel, Client, Unanswered, translated
from adapters.rabbitmq.dial import dial
from adapters.rabbitmq.inlet import Inlet
from adapters.rabbitmq.options import RULES, RabbitMQOptions
from adapters.rabbitmq.outlet import Outlet
from adapters.rabbitmq.silence import LATE_SECONDS, Silence
from adapters.rabbitmq.wire.stream import Stream
from adapters.urls import parse

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.5
TICK_SECONDS = 0.1
CHANNEL_CLOSE_SECONDS = 3.0
STUCK_SECONDS = 2.0
"""A channel that answers nothing for so long, while something waits on it, may wait for a node that is frozen."""


class Connection:
    """A client, replaced when it closed. Use `connection()`."""

    def __init__(self, url: str, options: RabbitMQOptions, purpose: str) -> None:
        self.options = options
        self._url = parse(url, RULES)
        self._purpose = purpose
        self._client: Client | None = None
        self.reading = False
        """Whether the dead letters are being read: two readers on this connection would each miss some."""
        self._opened_at = 0.0
        self._lost_at: datetime | None = None
        self._reason = ""
        self._hung: Client | None = None
        self._silence = Silence(limit=options.silence, heartbeat=0, now=0)
        self._pauses = Pauses()
        self._waits: set[asyncio.Timeout] = set()
        self._outlets: WeakSet[Outlet] = WeakSet()
        self.reconnects = Listeners()

    @property
    def vhost(self) -> str:
        """The virtual host of its URL."""
        return self._url.path or "/"

    @property
    def connected(self) -> bool:
        """Whether something sent now would go out."""
        return self._client is not None and self._client.opened

    @property
    def version(self) -> tuple[int, int]:
        """The server's, as far as it says it: `(4, 3)`; zeros while there is no connection."""
        return (0, 0) if self._client is None else self._client.version

    @property
    def blocked(self) -> bool:
        """Whether the server reads nothing more from it: an alarm for memory or disk."""
        return self._client is not None and self._client.stream.blocked

    # Lifetime

    async def open(self) -> None:
        """Raises `BrokerUnavailable` when there is no connection in time, naming what was tried."""
        client = await dial(self._url, self.options, purpose=self._purpose)
        self._opened_at = asyncio.get_running_loop().time()
        self._silence = Silence(limit=self.options.silence, heartbeat=client.heartbeat, now=self._opened_at)
        self._client = client

    async def supervise(self) -> None:
        """Connect again whenever the connection is lost, and end all waits on a server that does not read."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(TICK_SECONDS)
            if self._client is None:
                await self._reopen()
            elif (fault := self._fault(self._client)) is not None:
                await self._lost(self._client, fault)
            elif self.blocked:
                self._give_up()
            self._expire(min(loop.time() - before, LATE_SECONDS))

    def _expire(self, step: float) -> None:
        for outlet in self._outlets:
            stuck = outlet.unanswered(step) >= STUCK_SECONDS
            if outlet.expire(0 if stuck else self.options.publish_timeout):
                self._silence.doubt()

    def _fault(self, client: Client) -> str | None:
        """Why it is of no use any more, as far as that is known; None while it is."""
        if not client.opened:
            return client.stream.reply_text
        if self._silence.is_final(client.stream.heard, asyncio.get_running_loop().time()):
            return f"it said nothing for {self._silence.lasts:.0f} s"
        return "it opened no channel in time" if client is self._hung else None

    async def _lost(self, client: Client, reason: str) -> None:
        """Wait before connecting again if it did not last."""
        self._client, self._lost_at = None, datetime.now(UTC)
        self._give_up()
        for outlet in self._outlets:
            outlet.end()
        if client.opened:
            client.stream.abort()
        await client.abandon()
        pause = self._pauses.after(asyncio.get_running_loop().time() - self._opened_at)
        self._reason = f": {reason}" if reason else ""
        logger.warning(
            "lost the connection to RabbitMQ at %s (%s)%s; trying until it is back",
            client.address,
            self._purpose,
            self._reason,
        )
        await asyncio.sleep(pause)

    async def _reopen(self) -> None:
        try:
            await self.open()
        except BrokerUnavailable as error:
            logger.debug("%s", error)
            self._reason = f": {error}"
            await asyncio.sleep(RECONNECT_SECONDS)
            return
        if self._client is not None:
            logger.info("connected to RabbitMQ at %s again (%s)", self._client.address, self._purpose)
        self.reconnects.notify()

    def _give_up(self) -> None:
        # Their replies will not come.
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            with suppress(RuntimeError):
                wait.reschedule(now)
        for outlet in self._outlets:
            outlet.expire(0)

    async def close(self) -> None:
        """Never raises."""
        if self._client is not None:
            await self._client.abandon()
            self._client = None

    # Use

    @asynccontextmanager
    async def answered(self, what: str) -> AsyncIterator[None]:
        """Bounds the time of a block that waits for replies, and ends it when none can come.

        Raises `BrokerUnavailable`.
        """
        wait = asyncio.timeout(self.options.publish_timeout)
        with translated(what):
            try:
                async with wait:
                    self._waits.add(wait)
                    yield
            finally:
                self._waits.discard(wait)
                if wait.expired():
                    self._silence.doubt()

    async def open_channel(self, *, confirms: bool = False) -> Channel:
        """Close it with `close_channel`. Raises `BrokerUnavailable`."""
        return (await self._open(confirms=confirms))[0]

    async def open_inlet(self) -> Inlet:
        """To consume. Close it with `close_channel`. Raises `BrokerUnavailable`."""
        return Inlet(*await self._open(confirms=False))

    async def open_outlet(self) -> Outlet:
        """To publish. Close it with `close_channel`. Raises `BrokerUnavailable`."""
        outlet = Outlet(*await self._open(confirms=True))
        self._outlets.add(outlet)
        return outlet

    async def _open(self, *, confirms: bool) -> tuple[Channel, Stream]:
        client = self._client
        if client is None or not client.opened:
            since = "" if self._lost_at is None else f" since {self._lost_at:%H:%M:%S} UTC"
            raise BrokerUnavailable(f"not connected to RabbitMQ{since}{self._reason}")
        try:
            async with self.answered("opening a channel"):
                return await client.open_channel(confirms=confirms), client.stream
        except Unanswered:
            # It reads nothing more: too much waits on a channel that is stuck.
            self._hung = None if self.blocked else client
            raise

    @asynccontextmanager
    async def channel(self, *, confirms: bool = False) -> AsyncIterator[Channel]:
        """A channel for the block alone: an error on it closes no other."""
        channel = await self.open_channel(confirms=confirms)
        try:
            yield channel
        finally:
            await close_channel(channel)


async def close_channel(channel: Channel | Inlet | Outlet) -> None:
    """Unsettled deliveries on it go back, and can no longer be settled. Never raises."""
    if isinstance(channel, Inlet | Outlet):
        channel.end()
        channel = channel.channel
    if not channel.is_closed:
        with suppress(BrokerUnavailable), translated("closing a channel"):
            async with asyncio.timeout(CHANNEL_CLOSE_SECONDS):
                await channel.close()


@asynccontextmanager
async def connection(url: str, options: RabbitMQOptions, *, purpose: str) -> AsyncIterator[Connection]:
    """An open connection, closed afterwards."""
    link = Connection(url, options, purpose)
    await link.open()
    try:
        async with running(link.supervise()):
            yield link
    finally:
        await link.close()
