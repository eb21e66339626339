"""nats-py's client (2.16), configured for us and with its dangerous behaviour overridden.

Which server it is connected to is in `roaming`. These two and `transport` alone import nats.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from adapters.jetstream.message import VERSION, Message, headers_in
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.roaming import RoamingClient
from adapters.tls import alike
from adapters.urls import BrokerURL

NatsError: TypeAlias = nats.errors.Error
Handle: TypeAlias = Callable[[Message], None]

CLOSE_SECONDS = 5.0
LAZY_SECONDS = 0.005
"""So long may wait what nobody waits for (acknowledgements), to be written together with others."""


class Interest(Subscription):
    """A subscription whose messages go to `handle` as they are read, without a queue and a task of its own."""

    def __init__(self, client: Client, number: int, subject: str, handle: Handle) -> None:
        super().__init__(client, number, subject)
        self.handle = handle


class SafeClient(RoamingClient):
    """nats-py's client without five of its failures, each described where it is prevented, and with shorter ways for
    what is done for every message: `listen` for its `subscribe`, `post` for its `publish`.
    """

    tls_wanted = False
    _writing = False
    _lazy: asyncio.TimerHandle | None = None

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Also of a server that asks for TLS by itself."""
        return alike(super().ssl_context)

    async def begin(self, url: BrokerURL, options: JetStreamOptions, callbacks: Mapping[str, Any]) -> None:
        """Connect. Tries for ever: the caller bounds the time."""
        self.tls_wanted = url.scheme == "tls" or options.tls_ca is not None
        self.silence, self.patience = options.silence, options.connect_timeout
        settings: dict[str, Any] = {
            "name": "jobrelay",
            "max_reconnect_attempts": -1,
            # No buffering while disconnected: publishers must learn of it. With a buffer the client also swallows a
            # cancellation that arrives while it flushes a full buffer.
            "pending_size": 0,
            "skip_subject_validation": True,
            **_credentials(url),
            **callbacks,
        }
        if options.creds is not None:
            settings["user_credentials"] = str(options.creds)
        if options.nkey is not None:
            settings["nkeys_seed"] = str(options.nkey)
        if self.tls_wanted or options.tls_cert is not None:
            settings["tls"] = options.tls_context()
        if options.tls_server_name is not None:
            settings["tls_hostname"] = options.tls_server_name
        await self.connect([f"{url.scheme}://{host}" for host in url.hosts], **settings)

    @property
    def server_info(self) -> Mapping[str, Any]:
        """What the server said of itself: `cluster`, `jetstream` and the like."""
        return self._server_info

    # What comes

    async def listen(self, subject: str, handle: Handle) -> Interest:
        """Have `handle` called with each message. What it raises goes to `error_cb`, and the next message is read."""
        self._sid += 1
        interest = self._subs[self._sid] = Interest(self, self._sid, subject, handle)
        await self._send_subscribe(interest)
        return interest

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        # The library puts each message into a queue for a task of its subscription. What we do with one is short and
        # waits for nothing, so it is done at once: that is several microseconds less for each.
        interest = self._subs.get(sid)
        if not isinstance(interest, Interest):
            return
        try:
            found = await self._process_headers(headers) if headers else None
            size = len(data) + len(headers or b"")
            interest.handle(Message(subject.decode(), reply.decode(), data, found, size))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the messages after it are read
            await self._error_cb(error)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        if headers.startswith(VERSION):
            return headers_in(headers[len(VERSION) :])
        # A malformed header block raises in the reading task, which then ends without reconnecting. The message would
        # be redelivered for ever, and anybody who may publish can store such a message.
        try:
            return await super()._process_headers(headers)
        except (IndexError, ValueError):
            return {}

    _parse_header_lines = staticmethod(headers_in)

    # What goes

    def post(self, subject: str, payload: bytes, *, reply: str = "", headers: bytes = b"", lazy: bool = False) -> None:
        """Send it, with all else that is sent in this turn of the loop, or soon (`lazy`). `headers`: a block.

        Raises `NatsError`.
        """
        if not self.is_connected:
            raise nats.errors.OutboundBufferLimitError
        if len(payload) + len(headers) > self._max_payload:
            raise nats.errors.MaxPayloadError
        if headers:
            verb = f"HPUB {subject} {reply} {len(headers)} {len(headers) + len(payload)}\r\n"
        else:
            verb = f"PUB {subject} {reply} {len(payload)}\r\n"
        command = b"".join((verb.encode(), headers, payload, b"\r\n"))
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not lazy:
            self._write_soon()
        elif self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_SECONDS, self._write)

    async def _flush_pending(self, force_flush: bool = False) -> None:
        # The library's flusher is woken by a future in a queue, and is a task. One call at the end of the turn writes
        # the same. A connection that is lost is noticed by the task that reads.
        self._write_soon()

    def _write_soon(self) -> None:
        if not self._writing:
            self._writing = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._writing = False
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._pending and self.is_connected and self._transport is not None:
            pending, self._pending, self._pending_data_size = self._pending, [], 0
            self._transport.writelines(pending)

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        # The library writes a ping ahead of what still waits to be written, and its pong then says nothing of that: a
        # subscription that is drained would end before the server has read that it ends, and lose what comes meanwhile.
        self._write()
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        # The pong of a flush that was cancelled or timed out raises in the reading task, too, and ends it.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # Otherwise `tls://` to a server without TLS would send the password in clear text.
        if initial_connection and self.tls_wanted and not info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        await super()._process_info(info, initial_connection)

    async def abandon(self) -> None:
        """Close, in whatever state it is. Never raises."""
        # close() raises what the broken socket raises, and does nothing after a close that was cut short.
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close()
        await self._stop_reconnecting()
        self._abort()
        await asyncio.sleep(0)

    async def _stop_reconnecting(self) -> None:
        # The client cancels its reconnecting task only once. If an attempt fails at that moment, wait_for loses the
        # cancellation, and the task would go on for ever.
        task = self._reconnection_task
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while task is not None and not task.done():
                    task.cancel()
                    await asyncio.wait({task}, timeout=0.1)


def _credentials(url: BrokerURL) -> dict[str, str]:
    """Apart from the URLs of the servers: in them the client does not undo escapes, and would show them in its errors.

    A user without a password is a token.
    """
    if url.user is None:
        return {}
    return {"token": url.user} if url.password is None else {"user": url.user, "password": url.password}
