"""The parts of the benchmark by name, in the order in which they are measured."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from tests.bench.bench import Bench
from tests.bench.parts import following, rates, starting
from tests.bench.report.rows import Curve, Row
from tests.e2e.site import NATS, RABBITMQ


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`brokers`: on which it is measured. `real`: with NATS also on a real API server if nobody says what is wanted.
    `seconds`: after so many it is given up, so that a run comes to its end whatever happens in a part.
    """

    measure: Callable[[Bench], AsyncIterator[Row | Curve]]
    brokers: frozenset[str] = frozenset({NATS})
    real: bool = False
    seconds: float = 1200.0


_BOTH = frozenset({NATS, RABBITMQ})
PARTS: Mapping[str, Part] = {
    "created": Part(measure=rates.created, brokers=_BOTH, real=True),
    "life": Part(measure=rates.life, brokers=_BOTH, real=True),
    "ends": Part(measure=following.ends, real=True),
    "sizes": Part(measure=rates.sizes),
    "handlers": Part(measure=rates.handlers),
    "takeover": Part(measure=following.takeover),
    "released": Part(measure=rates.released),
    "idle": Part(measure=starting.idle),
    "commands": Part(measure=starting.waited),
    "adapters": Part(measure=rates.adapters, brokers=_BOTH),
    "tracked": Part(measure=following.tracked, seconds=1800.0),
}
