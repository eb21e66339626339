"""What holds the event loop is measured, for as long as it holds it."""

import asyncio
import time

from handler.telemetry.looplag import INTERVAL, measure_lag
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.handler.samples import until


def observed(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.loop_lag.collect()
    found = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples if "le" not in sample.labels}
    slow = next(one.value for one in family.samples if one.labels.get("le") == "0.25")
    return found | {"slow": found["count"] - slow}


async def test_a_hold_counts_for_as_long_as_it_lasts() -> None:
    metrics, held = Metrics(), 5.5 * INTERVAL
    async with beside(measure_lag(metrics)):
        await asyncio.sleep(0)
        time.sleep(INTERVAL + held)  # noqa: ASYNC251 - this is the hold

        async def is_measured() -> bool:
            return observed(metrics)["count"] > 0

        await until(is_measured)
    found = observed(metrics)
    assert found["count"] >= 6
    assert found["sum"] >= 5.5 * INTERVAL
    assert found["slow"] >= 3, "of those that waited for more than a quarter of a second"
