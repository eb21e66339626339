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

BROKER_SECONDS = 2.0
"""The longest pause before a broker is asked again: a cluster elects a leader within seconds, and outcomes wait."""
BROKER_RATE = 100.0
"""Of more that wait, so many are tried in a second, as far as the usual pauses allow."""


def pause_after(error: Exception, attempt: int, *, waiting: int = 1) -> float:
    """Seconds until a call that has failed `attempt` times in a row, the last time with `error`, is repeated.

    `waiting`: how many calls wait for the same broker.
    """
    if isinstance(error, Unavailable | ReplyHeld):
        return backoff(attempt, retry_after=error.retry_after)
    pause = backoff(attempt)
    return min(pause, max(BROKER_SECONDS, waiting / BROKER_RATE)) if isinstance(error, BrokerUnavailable) else pause


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
