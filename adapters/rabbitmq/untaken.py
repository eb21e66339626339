"""What became last of the publishes to each exchange, as far as they were not stored."""

import asyncio

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.client import NotTaken, Unanswered

FORGET_SECONDS = 30.0
"""Whatever has to be stored is published again sooner. What is not was given up, and tells nothing any more."""


class Untaken:
    """Publishes that a queue refused or left unanswered, until another is stored there."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def stored(self, exchange: str) -> None:
        """A publish to it was."""
        self._last.pop(exchange, None)

    def failed(self, exchange: str, error: BrokerUnavailable) -> None:
        """A publish to it was not. Errors that are about the message or the connection are passed over."""
        if isinstance(error, NotTaken):
            self._note(exchange, "refused: a queue is full, or its leader is away")
        elif isinstance(error, Unanswered):
            self._note(exchange, "not confirmed in time, as without a quorum")

    def _note(self, exchange: str, how: str) -> None:
        self._last[exchange] = (how, asyncio.get_running_loop().time())

    def problem(self) -> str:
        """The exchanges to which the last publish was not stored, and how it was not; empty if there are none."""
        since = asyncio.get_running_loop().time() - FORGET_SECONDS
        self._last = {exchange: failed for exchange, failed in self._last.items() if failed[1] >= since}
        return "; ".join(f"what is published to exchange {name} is {how}" for name, (how, _) in self._last.items())
