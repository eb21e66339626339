"""Repeats a call until the API server or the broker answers it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from adapters.base import BrokerUnavailable
from handler.effects.replies import ReplyHeld
from handler.telemetry.outages import Outages
from k8s.api.clock import backoff
from k8s.base import Conflict, Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


def pause_after(error: Exception, attempt: int) -> float:
    """Seconds until a call that has failed `attempt` times in a row, the last time with `error`, is repeated."""
    return backoff(attempt, retry_after=error.retry_after if isinstance(error, Unavailable | ReplyHeld) else None)


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
            pause = pause_after(error, attempt)
        except Conflict:
            if conflict_seconds is None:
                raise
            pause = conflict_seconds
        await asyncio.sleep(pause)


async def until_taken(call: Callable[[], Awaitable[None]], *, broker: str, outages: Outages, hold: bool = True) -> None:
    """Repeat `call` until the broker takes it: nothing can go on before a delivery is settled or an answer sent.

    Without `hold`, it raises `ReplyHeld` instead of waiting for a reply topic that refuses.
    """
    this = object()

    def complain(error: Exception) -> None:
        if isinstance(error, ReplyHeld):
            if not hold:
                raise error
            outages.goes_on(this)
        else:
            outages.waits(this, broker, str(error))
        logger.debug("broker %s does not take it, trying again: %s", broker, error)

    try:
        await until_answered(call, complain=complain)
    finally:
        outages.goes_on(this)
