"""The checks of lifecycle events that the chaos tests rely on find what they should find."""

import pytest

from tests.chaos.claims import PhaseEvent, distinct, path_problems


def events(*keys: str) -> list[PhaseEvent]:
    return [PhaseEvent("r", key.partition("/")[0], f"uid/{key}") for key in keys]


@pytest.mark.parametrize(
    "path",
    [
        ("created", "succeeded"),
        ("created", "started", "failed"),
        ("created", "started", "progress/1.0", "progress/2.0", "succeeded"),
        ("created", "started", "retrying/1", "retrying/2", "succeeded"),
        ("created", "queued/limit", "queued/priority", "started", "succeeded"),
        ("created", "started", "suspended/a", "resumed/b", "queued/limit", "succeeded"),
        ("created", "stalled/IMAGE_PULL", "started", "suspended/a", "resumed/b", "cancelled"),
    ],
)
def test_a_complete_path_has_no_problems(path: tuple[str, ...]) -> None:
    assert path_problems(events(*path)) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ((), "does not begin with created"),
        (("started", "created", "succeeded"), "does not begin with created"),
        (("created", "started"), "has 0 terminal events"),
        (("created", "failed", "succeeded"), "has 2 terminal events"),
        (("created", "succeeded", "started"), "goes on after its terminal event"),
        (("created", "started", "started/2", "succeeded"), "started more often than it was tried"),
        (("created", "created/2", "succeeded"), "created twice"),
        (("created", "rejected", "succeeded"), "rejected is no phase of a Job"),
        (("created", "retrying/1", "started", "succeeded"), "retries before it started"),
        (("created", "progress/1.0", "started", "succeeded"), "progresses before it started"),
        (("created", "started", "queued/limit", "succeeded"), "is queued after it started"),
        (("created", "started", "retrying/2", "succeeded"), "retries are counted [2]"),
    ],
)
def test_what_is_missing_doubled_or_out_of_order_is_found(path: tuple[str, ...], problem: str) -> None:
    assert problem in path_problems(events(*path))


def test_repeats_are_dropped_and_the_first_arrival_counts() -> None:
    once = events("created", "started", "succeeded")
    assert distinct([*once, once[1], once[0]]) == once
