"""Connects a command to the broker that the settings name. What goes wrong becomes an error of the command."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from adapters.base import Broker
from adapters.registry import shown
from handler.commands.errors import Failed, Misuse
from handler.settings import connections
from handler.settings.settings import Settings

CONNECT_SECONDS = 5.0
"""A person waits for this; the service waits longer, and tries again."""


@asynccontextmanager
async def broker_of(settings: Settings, url: str | None = None) -> AsyncIterator[Broker]:
    """The broker at `url`, by default the first source. Its streams or queues may be missing.

    Raises `Misuse` if its client library is not installed, `Failed` if it does not answer.
    """
    try:
        connection = connections.broker_of(settings, url)
    except RuntimeError as error:
        raise Misuse(str(error)) from error
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                broker = await stack.enter_async_context(connection)
        except TimeoutError as error:
            raise Failed(f"broker {shown(url or settings.sources[0])} does not answer") from error
        yield broker
