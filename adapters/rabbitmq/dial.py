"""Opens a client to one of the servers that a URL names, past those that are down, unreachable or frozen."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.addresses import Address, resolved
from adapters.rabbitmq.client import Client, open_client, translated
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.urls import BrokerURL, Host

NEXT_SECONDS = 1.0
"""An attempt that takes longer is not given up, but the next begins beside it."""

T = TypeVar("T")
Attempt = Callable[[], Coroutine[Any, Any, T]]


async def dial(url: BrokerURL, options: RabbitMQOptions, *, purpose: str) -> Client:
    """The first that answers, tried in random order. Raises `BrokerUnavailable`, which says it of each."""
    by = asyncio.get_running_loop().time() + options.connect_timeout

    async def connected(address: Address) -> Client:
        with translated(str(address)):
            async with asyncio.timeout_at(by):
                return await open_client(url, address, options, purpose=purpose)

    async def reached(host: Host) -> Client:
        with translated(str(host)):
            async with asyncio.timeout_at(by):
                addresses = await resolved(host, scheme=url.scheme, server_name=options.tls_server_name)
        return await first_of([partial(connected, address) for address in addresses], drop=Client.abandon)

    hosts = random.sample(url.hosts, len(url.hosts))
    try:
        return await first_of([partial(reached, host) for host in hosts], drop=Client.abandon)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(f"no connection to RabbitMQ at {error}") from error


async def first_of(
    attempts: Sequence[Attempt[T]], *, drop: Callable[[T], Awaitable[None]], pause: float = NEXT_SECONDS
) -> T:
    """What the first gave that succeeded. The next begins when one has failed, or after `pause` seconds.

    No other runs on. `drop` is called with what those gave that were too late. Raises `BrokerUnavailable` when all
    failed with it; another error ends all.
    """
    left, failed = deque(attempts), list[str]()
    begun: list[asyncio.Task[T]] = []
    running: set[asyncio.Task[T]] = set()
    try:
        while left or running:
            if left:
                begun.append(asyncio.create_task(left.popleft()()))
                running.add(begun[-1])
            done, running = await asyncio.wait(
                running, timeout=pause if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    begun.remove(task)
                    return task.result()
                if not isinstance(error, BrokerUnavailable):
                    raise error
                failed.append(str(error))
        raise BrokerUnavailable("; ".join(sorted(failed)))
    finally:
        await _end(begun, drop)


async def _end(tasks: Sequence[asyncio.Task[T]], drop: Callable[[T], Awaitable[None]]) -> None:
    for task in tasks:
        task.cancel()
    for late in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(late, BaseException):
            await drop(late)
