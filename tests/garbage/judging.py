"""What holds for garbage on any broker: each example gets an outcome, and a good request after it its Job at once."""

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from adapters.base import Broker, Kind, Topic
from events.identity import Identity, job_name
from handler.local.processes import Process
from k8s.api.cluster import Cluster
from k8s.base import NotFound
from tests.handler.samples import SOURCE, make_request
from tests.long import LONG
from tests.patience import within

EXAMPLES = 1000 if LONG else 100
JUDGED_WITHIN = within(5.0)
JOB_WITHIN = within(2.0)

Garbage = TypeVar("Garbage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(ABC, Generic[Garbage]):
    """A running installation, and a way to send it garbage that its broker needs."""

    relay: Process
    broker: Broker
    cluster: Cluster
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def good(self) -> None:
        """Publish a good request: it gets its Job at once."""
        name = f"good-{next(self.numbers)}"
        await self.broker.publish(Topic(Kind.REQUESTS), make_request(name))
        begun = time.monotonic()
        while True:
            try:
                await self.cluster.read_job("default", job_name("tests", Identity(SOURCE, name)))
                return
            except NotFound:
                assert time.monotonic() - begun < JOB_WITHIN, f"no Job after {JOB_WITHIN} s"
            await asyncio.sleep(0.005)

    @abstractmethod
    async def judged(self, message: Garbage) -> str:
        """The outcome: its dead letter's code, `job`, `answered` (a control event) or `refused` by the broker."""


async def each_is_judged(stack: Judged[Garbage], garbage: SearchStrategy[Garbage]) -> None:
    """Send all examples, one after the other, each followed by a good request."""
    outcomes: Counter[str] = Counter()

    @given(message=garbage)
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    def example(message: Garbage) -> None:
        outcomes[asyncio.run_coroutine_threadsafe(_sent(stack, message), loop).result()] += 1

    loop = asyncio.get_running_loop()
    # In a thread, so that a single loop serves all examples and the stack keeps running between them.
    await asyncio.to_thread(example)
    print(f"\ngarbage: {dict(outcomes.most_common())}")
    assert outcomes["INVALID_EVENT"], "the examples should reach every judge"
    assert outcomes["INVALID_REQUEST"], "the examples should reach every judge"


async def _sent(stack: Judged[Garbage], message: Garbage) -> str:
    outcome = await stack.judged(message)
    await stack.good()
    return outcome
