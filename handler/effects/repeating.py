"""Repeats a call until the API server or the broker answers it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from adapters.base import BrokerUnavailable
from k8s.api.clock import backoff
from k8s.base import Conflict, Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def until_answered(
    call: Callable[[], Awaitable[T]],
    *,
    complain: Callable[[Exception], None] = lambda _: None,
    conflict_seconds: float | None = None,
    passing: tuple[type[Exception], ...] = (BrokerUnavailable, Unavailable),
) -> T:
    """Repeat `call` with growing pauses while it raises what is `passing`; `complain` gets each.

    With `conflict_seconds`, repeat it that many seconds after a `Conflict` too: for a call that first reads anew what
    it changes.
    """
    attempt = 0
    while True:
        try:
            return await call()
        except passing as error:
            attempt += 1
            complain(error)
            retry_after = error.retry_after if isinstance(error, Unavailable) else None
            pause = backoff(attempt, retry_after=retry_after)
        except Conflict:
            if conflict_seconds is None:
                raise
            pause = conflict_seconds
        await asyncio.sleep(pause)


async def until_taken(call: Callable[[], Awaitable[None]]) -> None:
    """Repeat `call` until the broker takes it: nothing can go on before a delivery is settled or an answer sent."""
    await until_answered(call, complain=lambda error: logger.warning("broker does not answer, trying again: %s", error))
