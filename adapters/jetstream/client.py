"""nats-py's client (2.16), configured for us and with its dangerous behaviour overridden.

The only importer of nats.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from adapters.jetstream.options import JetStreamOptions
from adapters.urls import BrokerURL

Message: TypeAlias = Msg
Interest: TypeAlias = Subscription
NatsError: TypeAlias = nats.errors.Error

RECONNECT_SECONDS = 0.5
PING_SECONDS = 10
CLOSE_SECONDS = 5.0


class SafeClient(Client):
    """nats-py's client without four of its failures, each described where it is prevented."""

    tls_wanted = False

    async def begin(self, url: BrokerURL, options: JetStreamOptions, callbacks: Mapping[str, Any]) -> None:
        """Connect. Tries for ever: the caller bounds the time."""
        self.tls_wanted = url.scheme == "tls" or options.tls_ca is not None
        settings: dict[str, Any] = {
            "name": "jobrelay",
            "connect_timeout": options.connect_timeout,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_SECONDS,
            "ping_interval": PING_SECONDS,
            "max_outstanding_pings": 2,
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
        await self.connect([f"{url.scheme}://{host}" for host in url.hosts], **settings)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        # A malformed header block raises in the reading task, which then ends without reconnecting. The message would
        # be redelivered for ever, and anybody who may publish can store such a message.
        try:
            return await super()._process_headers(headers)
        except (IndexError, ValueError):
            return {}

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Like the library's, but nothing that a publisher wrote gets lost: neither a header that is there twice nor a
        name that is not ASCII. Whoever reads the event refuses them.
        """
        found: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            key = name.strip().decode("latin-1")
            if not colon or any(character.isspace() for character in key):
                continue
            # Names are alike in any case.
            key = next((spelling for spelling in (key, key.lower(), key.upper()) if spelling not in found), key)
            found[key] = value.strip().decode(errors="replace")
        return found

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
        if self._transport is not None:
            with suppress(Exception):
                self._transport.close()  # type: ignore[no-untyped-call]
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
