"""The tools of the benchmark do what its figures rest on."""

import asyncio
import json
import os
import time
from collections.abc import Iterable

import pytest

from tests.bench.load.events import IDLE, IN_FLIGHT, SIZE, make_events, many
from tests.bench.load.feed import LIFECYCLE, holds
from tests.bench.load.looking import OFTEN, SELDOM, all_done
from tests.bench.load.processes import HERE, Meter, cpu_seconds


@pytest.mark.parametrize("size", [SIZE, 300_000])
def test_events_differ_but_for_their_size(size: int) -> None:
    made = make_events(20, command=IDLE, image="busybox:1", size=size)
    assert all(0.88 * size <= len(body) <= size for body in made)
    read = [json.loads(body) for body in made]
    varied = [
        [event["id"] for event in read],
        [json.dumps(event["data"]["job"]["env"]) for event in read],
        [json.dumps(event["data"]["job"]["args"]) for event in read],
        [json.dumps(event["data"]["metadata"]) for event in read],
    ]
    assert [len(set(texts)) for texts in varied] == [20] * 4


def test_everybody_gets_the_same_events() -> None:
    made = make_events(20, command=IDLE, image="busybox:1")
    assert made == make_events(20, command=IDLE, image="busybox:1")
    assert made[5:] == make_events(15, command=IDLE, image="busybox:1", first=5)


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
    with pytest.raises(TimeoutError, match=r"1 are left after 0\.1 s"):
        await holds(Stored(*[(4, 1)] * 1000), LIFECYCLE, 4, seconds=0.1)


async def test_the_end_is_seen_soon_although_looks_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that only sleep moves: work at a steady pace that ends between two of the usual looks."""
    now, looks, ends = 0.0, 0, 20 * SELDOM + 0.037

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def left() -> float:
        nonlocal looks
        looks += 1
        return max(0.0, ends - now)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await all_done(left, seconds=5)
    assert ends <= now <= ends + OFTEN
    assert looks <= 20 + 10


def test_the_cpu_of_a_process_is_that_which_its_own_clock_shows() -> None:
    before, seen = time.process_time(), cpu_seconds(os.getpid())
    assert before <= seen <= time.process_time()


def test_a_meter_counts_what_each_process_spends_for_a_job() -> None:
    meter = Meter({"server": [os.getpid()]})
    begun = time.process_time()
    while time.process_time() < begun + 0.02:
        sum(range(IN_FLIGHT))
    taken = meter.round(10)
    assert taken.cpu[HERE] >= 0.002
    assert taken.cpu["server"] == pytest.approx(taken.cpu[HERE], rel=0.2)
    assert taken.busy <= 2.1
