"""A decision costs the same whatever Jobs depend on, and a search for loops goes on in steps."""

import statistics
import time
from collections.abc import Callable, Sequence

import pytest

from handler.admission.data import Entry, Limits, Snapshot
from handler.admission.decision import admit
from handler.admission.loops import STEP, find_loops
from tests.handler.admission.entries import NOW, make_entry, wait_for

JOBS, EACH = 1000, 100
Shape = Callable[[int], Sequence[int]]
SHAPES: dict[str, Shape] = {
    "unknown": lambda number: range(JOBS + number * EACH, JOBS + (number + 1) * EACH),
    "layers": lambda number: range(number + 1, number + 1 + EACH),
    "dense": lambda number: [(number * 7 + 13 * one) % JOBS for one in range(EACH)],
    "one loop": lambda number: [(number + 1) % JOBS],
}


def entries(shape: Shape) -> list[Entry]:
    return [
        make_entry(f"r{number}", needs=wait_for(*(f"r{other}" for other in shape(number)))) for number in range(JOBS)
    ]


def cost(waiting: Sequence[Entry]) -> float:
    """Seconds of CPU time for a decision."""
    took = []
    for _ in range(5):
        begun = time.thread_time()
        admit(Snapshot(active=[], waiting=waiting), Limits(total=1), NOW)
        took.append(time.thread_time() - begun)
    return statistics.median(took)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_decision_about_jobs_with_a_hundred_dependencies_costs_no_more_than_about_others(shape: str) -> None:
    plain = [make_entry(f"r{number}") for number in range(JOBS)]
    assert cost(entries(SHAPES[shape])) <= 3 * cost(plain)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_search_for_loops_is_divided_into_steps_by_what_it_looks_at(shape: str) -> None:
    waiting = entries(SHAPES[shape])
    ids = sum(len(entry.needs.open) for entry in waiting if entry.needs is not None)
    steps = sum(1 for _ in find_loops(waiting, []))
    assert steps >= ids // STEP
