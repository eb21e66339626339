"""Tells of brokers that do not take what there is for them: in the log, and by a metric, how much waits."""

import asyncio
import logging
import math
from collections.abc import Hashable
from dataclasses import dataclass, field

from handler.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

LASTING_SECONDS = 1.5
"""What is over sooner is nothing to tell of: a connection that is made anew, an event that is taken at the next try."""
REPEAT_SECONDS = 60.0
"""Seconds between two warnings of the same outage, or of one that comes and goes."""
STEADY_SECONDS = 10.0
"""Seconds without any trouble after which the next outage is another one."""


@dataclass(slots=True)
class _Broker:
    """`waiting`: what waits for it, and why. `begun`, `over`: the loop's time when an outage began, if there is one,
    and when the last one ended. `told`: that of the last warning; `open`: it is not taken back yet.
    """

    waiting: dict[Hashable, str] = field(default_factory=dict)
    begun: float | None = None
    over: float = -math.inf
    told: float = -math.inf
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
            one.over = one.over if one.begun is None else now
            one.begun, one.open = None, False
            return
        if one.begun is None:
            one.begun = now
            one.told = -math.inf if now - one.over >= STEADY_SECONDS else one.told
        if now - one.begun >= LASTING_SECONDS and now - one.told >= REPEAT_SECONDS:
            one.told, one.open = now, True
            logger.warning("broker %s: %s (events that wait: %d)", broker, why, len(one.waiting))

    def _of(self, broker: str) -> _Broker:
        one = self._brokers.get(broker)
        if one is None:
            one = self._brokers[broker] = _Broker()
            self._metrics.events_waiting.labels(broker).set_function(one.waiting.__len__)
        return one
