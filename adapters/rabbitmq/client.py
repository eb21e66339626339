"""aio-pika (10.2) with its dangerous behaviour avoided: how we connect, what its errors mean. It knows no queues.

The only importer of aio-pika and aiormq. We use aio-pika's plain connection: the robust connection restores queues as
it knew them, and does not come back at all if a queue was deleted or declared differently meanwhile. On channels we
call the AMQP methods themselves (`get_underlay_channel`): what is settled, and when, is for us to decide. Messages pass
these libraries by, since most of what an event cost was theirs: see `inlet`, `outlet` and `wire`. All that this needs
of them is that they take a transport of ours (`TransportFactory`).
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import aio_pika
import aiormq
import aiormq.exceptions as failures
import pamqp.encode
from aio_pika.abc import UnderlayConnection
from aiormq.abc import DeliveredMessage
from aiormq.connection import TransportFactory
from pamqp.commands import Basic
from yarl import URL

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.addresses import Address
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.wire.content import Message
from adapters.rabbitmq.wire.stream import Stream
from adapters.urls import BrokerURL

Channel: TypeAlias = aiormq.Channel
Delivered: TypeAlias = DeliveredMessage
Cancelled: TypeAlias = Basic.Cancel
Headers: TypeAlias = Mapping[str, Any]

CLOSE_SECONDS = 5.0
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (failures.ChannelAccessRefused, 403),
    (failures.ChannelNotFoundEntity, 404),
    (failures.ChannelLockedResource, 405),
    (failures.ChannelPreconditionFailed, 406),
)
_TIMED_OUT = re.compile(r"delivery acknowledgement on channel \d+ timed out(?:.*?(\d+) ms)?")


class ServerRefused(BrokerUnavailable):
    """The server refused a method and closed the channel; `code` is its reply code: 403, 404, 405, 406 or another."""

    def __init__(self, what: str, code: int, text: str) -> None:
        super().__init__(f"{what}: {text} ({code})")
        self.code = code
        self.text = text


class Unanswered(BrokerUnavailable):
    """The server has not answered in time."""


class Unroutable(BrokerUnavailable):
    """No queue is bound for it."""


class NotTaken(BrokerUnavailable):
    """The queue did not take it: full, or without a leader."""


class _Wire(aiormq.Connection):
    # Unbounded. With a bound, acks that wait for room while the server closes their channel are sent after the close
    # was acknowledged, and for that the server closes the connection.
    FRAME_BUFFER_SIZE = 0

    @property
    def is_connection_was_stuck(self) -> bool:
        # To whom the library says no goodbye, and waits for none. Whether a server went silent is judged by `Silence`.
        return not self.connected.is_set()


class _Underlay(UnderlayConnection):
    @classmethod
    async def make_connection(cls, url: URL, timeout: Any = None, **options: Any) -> aiormq.abc.AbstractConnection:
        properties, vhost = options.pop("client_properties"), options.pop("vhost")
        wire = _Wire(url, context=options["context"], transport_factory=options["transport_factory"])
        wire.vhost = vhost
        try:
            await wire.connect(client_properties=properties)
        except BaseException:
            await _abandon(wire)
            raise
        return wire


class Client(aio_pika.Connection):
    """aio-pika's connection, on a wire that survives whatever anybody may send. Use `open_client`.

    `heartbeat`: the longest time in seconds in which the server says nothing; 0 if it may be silent for ever.
    """

    def __init__(
        self, url: BrokerURL, address: Address, *, tls: ssl.SSLContext | None, name: str, heartbeat: int
    ) -> None:
        known = _for_library(url, address, heartbeat)
        super().__init__(known, ssl_context=tls, client_properties={"connection_name": name})
        # Of a path, the library undoes some escapes only.
        self.kwargs["vhost"] = url.path or "/"
        self.address = address
        self.heartbeat = heartbeat
        self.factory = _Transport(address)

    def __del__(self) -> None:
        # aio-pika's own would start to close, in whatever loop runs by then. Whoever opens a client abandons it.
        pass

    async def connect(self, timeout: Any = None) -> None:
        self.transport = await _Underlay.connect(
            self.url, self._on_connection_close, timeout, transport_factory=self.factory, **self.kwargs
        )

    @property
    def wire(self) -> aiormq.Connection | None:
        """The connection itself; None before it is made and after it is gone."""
        found = None if self.transport is None else self.transport.connection
        return found if isinstance(found, aiormq.Connection) else None

    @property
    def opened(self) -> bool:
        """Whether something sent now would go out."""
        return self.wire is not None and self.wire.is_opened

    @property
    def version(self) -> tuple[int, int]:
        """The server's, by what it said when the connection was made: `(4, 3)`; zeros if it said none."""
        said: Any = self.wire.server_properties.get("version") if self.wire is not None else None
        numbers = re.match(r"(\d{1,4})\.(\d{1,4})", said if isinstance(said, str) else bytes(said or b"").decode())
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)

    @property
    def stream(self) -> Stream:
        """Its bytes."""
        return self.factory.stream

    async def open_channel(self, *, confirms: bool) -> Channel:
        """Raises what `translated` turns into `BrokerUnavailable`."""
        channel = self.channel(publisher_confirms=confirms, on_return_raises=confirms)
        await channel.initialize()
        return await channel.get_underlay_channel()  # type: ignore[return-value]

    async def abandon(self) -> None:
        """Close, in whatever state it is. Never raises."""
        if self.wire is not None:
            await _abandon(self.wire)
        await _close(self)


async def open_client(url: BrokerURL, address: Address, options: RabbitMQOptions, *, purpose: str) -> Client:
    """A connection named `jobrelay-<purpose>`. Raises what `translated` turns into `BrokerUnavailable`."""
    # They log with tracebacks at ERROR, at every attempt to reconnect, and raise all of it as well.
    for library in ("aiormq", "aio_pika"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    tls = await asyncio.to_thread(options.tls_context) if url.scheme == "amqps" else None
    name = f"jobrelay-{purpose}"
    client = Client(url, address, tls=tls, name=name, heartbeat=heartbeat_of(url, silence=options.silence))
    try:
        await client.connect()
    except failures.AMQPError as error:
        await client.abandon()
        # The library says which frame it expected, and not why the server closed.
        if client.stream.reply_text:
            raise failures.AMQPConnectionError(client.stream.reply_text) from error
        raise
    except BaseException:
        await client.abandon()
        raise
    return client


async def _abandon(wire: aiormq.Connection) -> None:
    if hasattr(wire, "_writer_task"):
        await _close(wire)


async def _close(connection: aio_pika.Connection | aiormq.Connection) -> None:
    with _cancellable(), suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


def closing(channel: Channel) -> bool:
    """Whether it is closed, or will be before anything sent on it now can arrive."""
    return channel.is_closed or channel._close_exception is not None  # noqa: SLF001 - nothing else tells so early


def heartbeat_of(url: BrokerURL, *, silence: float) -> int:
    """What the server is told, in seconds: it then sends something at least so often. A URL may ask for more, or none.

    Twice in `silence`, since one may be late.
    """
    most = max(1, int(silence / 2))
    return min(int(url.query.get("heartbeat", most)), most)


def _for_library(url: BrokerURL, address: Address, heartbeat: int) -> URL:
    return URL.build(
        scheme=url.scheme,
        user=url.user,
        password=url.password,
        host=address.host.bare,
        port=address.port,
        query={**url.query, "heartbeat": str(heartbeat)},
    )


def taken_after(channel: Channel) -> float | None:
    """The server's consumer_timeout in seconds if that closed the channel, 0 if it does not say how long; else None."""
    found = _TIMED_OUT.search(str(channel._close_exception))  # noqa: SLF001 - where `closing` looks, too
    return None if found is None else int(found[1] or 0) / 1000


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever the client raises into `BrokerUnavailable` or an error above. A cancellation of the task passes."""
    with _cancellable():
        try:
            yield
        except asyncio.CancelledError as error:
            # The library also raises it in tasks that wait on a channel as it closes; nobody has cancelled those.
            raise BrokerUnavailable(f"{what}: the channel was closed") from error
        except failures.ChannelClosed as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), error.args[0] if error.args else 0)
            raise ServerRefused(what, code if isinstance(code, int) else 0, _text(error)) from error
        except TimeoutError as error:
            raise Unanswered(f"{what}: no answer in time") from error
        except (failures.AMQPError, OSError, RuntimeError, EOFError) as error:
            raise BrokerUnavailable(f"{what}: {_text(error)}") from error


@contextmanager
def _cancellable() -> Iterator[None]:
    """However the block ends: if its task was cancelled meanwhile, the cancellation goes on.

    While a channel opens or closes, the library may swallow it, or raise another error in its place.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def sendable(headers: Headers, *, limit: int) -> dict[str, Any]:
    """The headers that can be sent. Beyond `limit` bytes the longest are left out: all must fit into one frame."""
    sizes: dict[str, int] = {}
    for name, value in headers.items():
        with suppress(TypeError, ValueError, OverflowError):
            sizes[name] = len(pamqp.encode.field_table({name: value}))
    total = sum(sizes.values())
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if total <= limit:
            break
        total -= sizes.pop(name)
    return {name: value for name, value in headers.items() if name in sizes}


def _text(error: BaseException) -> str:
    return str(error.args[-1]) if error.args and error.args[-1] else repr(error)


def received(message: Delivered) -> Message | None:
    """What the library has read itself; None for its answer that a queue is empty."""
    delivery = message.delivery
    if not isinstance(delivery, Basic.Deliver | Basic.GetOk):
        return None
    return Message(
        tag=delivery.delivery_tag or 0,
        consumer=str(getattr(delivery, "consumer_tag", "")),
        redelivered=bool(delivery.redelivered),
        key=delivery.routing_key or "",
        properties=message.header.properties,
        body=message.body,
    )


class _Transport(TransportFactory):
    """Connects once."""

    def __init__(self, address: Address) -> None:
        self.stream = Stream()
        self._address = address

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        provider = kwargs.pop("ssl_context_provider")
        where: dict[str, Any] = {"host": self._address.ip, "port": self._address.port}
        if url.scheme == "amqps":
            where |= {"ssl": await provider.get_context(), "server_hostname": self._address.server_name}
        await asyncio.get_running_loop().create_connection(lambda: self.stream, **where, **kwargs)
        return self.stream.ends
