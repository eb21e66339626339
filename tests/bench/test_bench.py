"""The benchmark produces every row, with tiny numbers. Does not judge speed."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.adapters.conftest import need_rabbit
from tests.bench.__main__ import LEVELS, Size, arguments, run, size_of
from tests.bench.feed import LIFECYCLE, holds
from tests.bench.load import many

TINY = Size(events=12, rounds=1, samples=3, tracked=20, queued=20, held=20, lease=1.0)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_every_row_is_produced_with_the_facts_of_the_machine(tmp_path: Path) -> None:
    need_rabbit()
    elsewhere = ("KUBECONFIG", "NATS_URL", "RABBITMQ_URL")
    given = {name: value for name, value in os.environ.items() if name not in elsewhere}
    lines = (await run(TINY, given, directory=tmp_path)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + 2 * len(LEVELS) + 3 + 1 + 2 + 2 + 1 + 2 + 2 + 1 + 2 + 3 + 2
    for wanted in (
        "1 in flight",
        "16 in flight",
        "64 in flight",
        "whole life",
        "p99",
        "per tracked Job",
        "restart",
        "in the handler",
        "in the controller",
        "kill -9",
        "SIGTERM",
        "one decision",
        "let go by the leader, against",
        "memory of a controller",
        "NATS: adapter",
        "RabbitMQ: adapter",
    ):
        assert any(wanted in row for row in rows)
    (facts,) = (line for line in lines if "nats-server" in line)
    assert "cores" in facts
    assert "RabbitMQ" in facts
    assert any("no process is started" in line for line in lines)


def test_a_given_number_takes_precedence_over_quick() -> None:
    assert size_of(arguments([])) == Size()
    assert size_of(arguments(["--quick", "--events", "7"])).events == 7


async def test_many_does_each_item_once_and_never_more_than_so_many_at_a_time() -> None:
    done: list[int] = []
    running: set[int] = set()
    most: list[int] = []

    async def work(item: int) -> None:
        running.add(item)
        most.append(len(running))
        await asyncio.sleep(0)
        done.append(item)
        running.discard(item)

    await many(work, range(10), in_flight=3)
    assert sorted(done) == list(range(10))
    assert max(most) == 3


class Stored:
    """A feed with so many lifecycle events, and so many of them `stalled`."""

    def __init__(self, *counts: tuple[int, int]) -> None:
        self._counts = iter(counts)

    async def publish(self, events: Iterable[bytes]) -> None:
        raise AssertionError(events)

    async def stored(self, kind: str) -> int:
        count, self._stalled = next(self._counts)
        return count

    async def stalled(self) -> int:
        return self._stalled


async def test_stalled_events_of_a_busy_cluster_are_not_taken_for_those_that_are_awaited() -> None:
    await holds(Stored((3, 1), (4, 1), (6, 2)), LIFECYCLE, 4, seconds=5)
    with pytest.raises(TimeoutError):
        await holds(Stored(*[(4, 1)] * 1000), LIFECYCLE, 4, seconds=0.1)
