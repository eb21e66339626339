"""How long the event loop keeps waiting what is due: with one loop, whatever holds it holds the Lease too."""

import asyncio

from handler.telemetry.metrics import Metrics

INTERVAL = 0.1
"""Seconds between two measurements."""
MOST_MISSED = 600
"""Measurements that are made up for after a long hold, so that a minute of it counts as a minute."""


async def measure_lag(metrics: Metrics) -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    due = loop.time() + INTERVAL
    while True:
        await asyncio.sleep(due - loop.time())
        lag = max(0.0, loop.time() - due)
        # Whatever fell due meanwhile has waited too, the later the shorter.
        missed = min(int(lag / INTERVAL), MOST_MISSED)
        for number in range(missed + 1):
            metrics.loop_lag.observe(lag - number * INTERVAL)
        due = max(due + (missed + 1) * INTERVAL, loop.time())
