"""The books that the tests of admission rely on find the problems that they should find."""

from typing import Any

import pytest

from events.names import FINALIZER
from tests.chaos.books import Books, Limits
from tests.chaos.turns import Turn, mixed

WAITS: dict[str, Any] = {"suspend": True}
RUNS: dict[str, Any] = {"suspend": False}
ENDS: dict[str, Any] = {"suspend": False, "end": "Complete"}
FAILS: dict[str, Any] = {"suspend": False, "end": "Failed"}
LIMITS = Limits(total=3, per_key=2)


def job(
    name: str, *, suspend: bool, end: str = "", uid: str = "", finalizer: bool = True, **given: Any
) -> dict[str, Any]:
    """A Job of this request. `given`: its status, and `parallelism`."""
    status = {"conditions": [{"type": end, "status": "True"}] if end else [], **given}
    return {
        "metadata": {
            "annotations": {"jobrelay.dev/id": name},
            "uid": uid or f"uid-{name}",
            "resourceVersion": "7",
            "finalizers": [FINALIZER] if finalizer else [],
        },
        "spec": {"suspend": suspend, "parallelism": status.pop("parallelism", 1)},
        "status": status,
    }


def problems(wanted: dict[str, Turn], *states: tuple[str, dict[str, Any]]) -> list[str]:
    books = Books(wanted, LIMITS)
    for name, state in states:
        books.note(job(name, **state), at=0.0)
    return books.problems


FREE = {name: Turn() for name in "abcd"}
ON_KEY = {name: Turn(key="k") for name in "abc"}
ALONE = {"a": Turn(key="k", exclusive=True), "b": Turn(key="k"), "c": Turn(key="other")}
NARROW = {"a": Turn(key="k", limit=1), "b": Turn(key="k")}
AFTER = {"a": Turn(), "b": Turn(dependencies=("a",))}
WHATEVER = {"a": Turn(), "b": Turn(dependencies=("a",), run_on_failure=True)}
TRIED = {"a": Turn(attempts=2), "b": Turn(dependencies=("a",), run_on_failure=True)}


@pytest.mark.parametrize(
    ("wanted", "states"),
    [
        (FREE, [("a", RUNS), ("b", RUNS), ("c", RUNS), ("d", WAITS)]),
        (FREE, [("a", RUNS), ("b", RUNS), ("c", RUNS), ("a", ENDS), ("d", RUNS)]),
        (FREE, [("a", RUNS), ("b", RUNS), ("c", RUNS), ("d", {**RUNS, "parallelism": 0})]),
        (ON_KEY, [("a", RUNS), ("b", RUNS), ("b", FAILS), ("c", RUNS)]),
        (ALONE, [("b", RUNS), ("c", RUNS), ("b", ENDS), ("a", RUNS)]),
        (AFTER, [("b", WAITS), ("a", RUNS), ("a", ENDS), ("b", RUNS)]),
        (WHATEVER, [("a", RUNS), ("a", FAILS), ("b", RUNS)]),
        (TRIED, [("a", FAILS), ("a", {**WAITS, "uid": "2"}), ("a", {**FAILS, "uid": "2"}), ("b", RUNS)]),
    ],
)
def test_what_is_allowed_is_no_problem(wanted: dict[str, Turn], states: list[tuple[str, dict[str, Any]]]) -> None:
    assert problems(wanted, *states) == []


@pytest.mark.parametrize(
    ("wanted", "states", "problem"),
    [
        (FREE, [(name, RUNS) for name in "abcd"], "4 active at version 7"),
        (FREE, [("a", {**WAITS, "active": 1}), *((name, RUNS) for name in "bcd")], "4 active at version 7"),
        (FREE, [("a", {**WAITS, "terminating": 1}), *((name, RUNS) for name in "bcd")], "4 active at version 7"),
        (ON_KEY, [(name, RUNS) for name in "abc"], "3 active on k at version 7, which allows 2"),
        (ALONE, [("a", RUNS), ("b", RUNS)], "2 active on k at version 7, which allows 1"),
        (ALONE, [("b", RUNS), ("a", RUNS)], "2 active on k at version 7, which allows 1"),
        (NARROW, [("b", RUNS), ("a", RUNS)], "2 active on k at version 7, which allows 1"),
        (AFTER, [("b", RUNS)], "b: ran before a had ended as it must"),
        (AFTER, [("a", RUNS), ("b", RUNS)], "b: ran before a had ended as it must"),
        (AFTER, [("a", FAILS), ("b", RUNS)], "b: ran before a had ended as it must"),
        (WHATEVER, [("a", RUNS), ("b", RUNS)], "b: ran before a had ended as it must"),
        (FREE, [("a", ENDS), ("a", {**RUNS, "uid": "another"})], "a: 2 Jobs"),
        (TRIED, [("a", RUNS), ("a", {**RUNS, "uid": "2"})], "a: runs though another attempt is not over"),
        (TRIED, [("a", FAILS), ("a", {**WAITS, "uid": "2"}), ("b", RUNS)], "b: ran before a had ended as it must"),
        (TRIED, [("a", FAILS), ("b", RUNS)], "b: ran before a had ended as it must"),
    ],
)
def test_what_must_not_happen_is_found(
    wanted: dict[str, Turn], states: list[tuple[str, dict[str, Any]]], problem: str
) -> None:
    assert problem in problems(wanted, *states)


def test_a_request_is_open_until_it_has_ended_and_its_finalizer_is_gone() -> None:
    books = Books(FREE, LIMITS)
    for name, state in (("a", RUNS), ("b", ENDS), ("c", {**ENDS, "finalizer": False})):
        books.note(job(name, **state), at=0.0)
    assert books.open() == {"a": "is not over", "b": "is held", "d": "has 0 Jobs"}


def test_waits_are_by_priority_and_only_of_jobs_that_wait_for_room() -> None:
    wanted = {"low": Turn(priority=10), "high": Turn(priority=1000), "after": Turn(dependencies=("low",))}
    books = Books(wanted, LIMITS)
    for at, name, state in (
        (0, "low", WAITS),
        (0, "high", WAITS),
        (1, "high", RUNS),
        (5, "low", RUNS),
        (6, "low", ENDS),
    ):
        books.note(job(name, **state), at=at)
    books.note(job("after", **WAITS), at=0)
    books.note(job("after", **RUNS), at=90)
    assert books.waits() == [5.0, 0.0, 0.0, 1.0]


def test_a_mixed_load_has_everything_that_the_claims_need() -> None:
    turns = mixed(100, chain=6)
    assert len(turns) == 100
    assert sum(turn.exclusive for turn in turns.values()) in range(8, 12)
    assert max(len(turn.dependencies) for turn in turns.values()) == 2
    assert len({turn.service for turn in turns.values()}) == 5
    assert {"succeeded", "failed"} == {turn.end for turn in turns.values()}
    assert {turn.attempts for turn in turns.values()} == {1, 2, 3}
    assert all(name in turns for turn in turns.values() for name in turn.dependencies)
