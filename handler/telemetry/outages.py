"""Tells of brokers that do not take what there is for them: in the log, and by a metric, how much waits."""

import asyncio
import logging
from collections.abc import Hashable
from dataclasses import dataclass, field

from handler.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0
"""Seconds between two lines about the same broker, however often it goes away and comes back."""


@dataclass(slots=True)
class _Broker:
    """`waiting`: what waits for it, and why. `begun`: something waits since the last look. `told`: the loop's time
    of the last warning; `open`: it is not taken back yet.
    """

    waiting: dict[Hashable, str] = field(default_factory=dict)
    begun: bool = False
    told: float = float("-inf")
    open: bool = False


class Outages:
    """One line when a broker ceases to take things, one a minute while that lasts, and one when it is over.

    Whoever waits for a broker says so, and says no more of it at each try than a line for debugging.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._brokers: dict[str, _Broker] = {}

    def waits(self, what: Hashable, broker: str, why: str) -> None:
        """This waits for the broker, until `goes_on`."""
        self._of(broker).waiting[what] = why

    def goes_on(self, what: Hashable) -> None:
        """This waits for no broker any more, if it did."""
        for one in self._brokers.values():
            one.waiting.pop(what, None)

    def look(self, broker: str, problem: str | None) -> None:
        """Call it about once a second. `problem`: why the broker takes nothing; None where that is not known."""
        one, now = self._of(broker), asyncio.get_running_loop().time()
        why = problem or next(reversed(one.waiting.values()), None)
        if why is None:
            if one.open:
                logger.info("broker %s: takes everything again", broker)
            one.begun, one.open = False, False
        elif problem is None and not one.begun:
            one.begun = True  # What is taken at the next try is nothing to tell of.
        elif now - one.told >= REPEAT_SECONDS:
            one.told, one.open = now, True
            logger.warning("broker %s: %s (events that wait: %d)", broker, why, len(one.waiting))

    def _of(self, broker: str) -> _Broker:
        one = self._brokers.get(broker)
        if one is None:
            one = self._brokers[broker] = _Broker()
            self._metrics.events_waiting.labels(broker).set_function(one.waiting.__len__)
        return one
