"""Of however many pods no more is kept than is told, and all that is told is the same."""

import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.lifecycle.keeping import GONE_KEPT, LINES, WHOLE_FAILURES, JobPods
from events.lifecycle.outcome import outcome, outcome_detail
from events.lifecycle.results import MAX_RESULTS
from events.lifecycle.transitions import transitions
from tests.events.samples import condition, failed, make_container, make_job, running, succeeded
from tests.long import examples

_LONGEST = 4096
_TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", "\n", "3", '{"a": 1}', "one\ntwo\n", "said\n{}", '["é"]' + " " * 4000, "x" * 4095 + "\n"]),
    st.integers(1, _LONGEST).map(lambda size: "y" * size),
    st.integers(1, _LONGEST // 2).map(lambda size: "[" + "1," * (size - 1) + "1]"),
)


@st.composite
def _pods(draw: st.DrawFn) -> list[Pod]:
    found = []
    for number, text in enumerate(draw(st.lists(_TEXTS, min_size=1, max_size=30))):
        fields = {"index": number, "message": text, "cut": len((text or "").encode()) >= _LONGEST}
        ended = draw(st.sampled_from([succeeded, failed]))
        found.append(ended(f"p{number}", at=5 + draw(st.integers(0, 5)), **fields))
    return found


def _ended(pods: Sequence[Pod], *, type_: str, **fields: Any) -> Job:
    counted = {"succeeded": sum(pod.phase == "Succeeded" for pod in pods)}
    counted["failed"] = len(pods) - counted["succeeded"]
    reason = "BackoffLimitExceeded" if type_ == "Failed" else ""
    many = {"completions": len(pods), "parallelism": len(pods), "backoff_limit": len(pods)}
    return make_job(conditions=(condition(type_, at=20, reason=reason),), **(counted | many | fields))


def _kept(pods: Sequence[Pod]) -> list[Pod]:
    kept = JobPods()
    for pod in pods:
        kept.put(pod)
    return list(kept)


def _bytes(pods: Sequence[Pod]) -> int:
    return sum(len((one.message or "").encode()) for pod in pods for one in pod.containers)


@given(pods=_pods(), type_=st.sampled_from(["Complete", "Failed"]), indexed=st.booleans(), seed=st.integers(0, 9))
@settings(max_examples=examples(200), deadline=None)
def test_what_is_kept_tells_the_same_in_whatever_order_pods_come(
    pods: list[Pod], type_: str, indexed: bool, seed: int
) -> None:
    job = _ended(pods, type_=type_, indexed=indexed)
    end = outcome(job)
    assert end is not None
    mixed = random.Random(seed).sample(pods, len(pods))
    kept = _kept(mixed)
    assert outcome_detail(job, kept, end) == outcome_detail(job, pods, end)
    assert [one.detail for one in transitions(job, kept)] == [one.detail for one in transitions(job, pods)]


def test_a_thousand_results_take_no_more_than_may_be_published() -> None:
    pods = [succeeded(f"p{number}", index=number, message="x" * 4000) for number in reversed(range(1000))]
    kept = _kept(pods)
    assert _bytes(kept) <= MAX_RESULTS + _LONGEST
    assert len(kept) == len(pods)
    spaced = [succeeded(f"p{number}", index=number, message="1".ljust(4000)) for number in range(1000)]
    assert _bytes(_kept(spaced)) <= MAX_RESULTS


def test_of_a_thousand_failures_the_last_are_kept_whole_and_a_line_of_the_others() -> None:
    pods = [failed(f"p{number}", at=number, message="x" * 3000 + f"\nline {number}") for number in range(1000)]
    kept = _kept(pods)
    assert _bytes(kept) <= WHOLE_FAILURES + _LONGEST + LINES
    assert kept[-1] == pods[-1]
    assert kept[0].main is not None
    assert kept[0].main.message == "…\nline 0"
    long = [failed(f"p{number}", at=number, message="é" * 2000) for number in range(1000)]
    assert _bytes(_kept(long)) <= WHOLE_FAILURES + _LONGEST + LINES + _LONGEST


def test_only_containers_that_have_a_say_keep_their_messages() -> None:
    chatty = [make_container(f"c{number}", exit_code=0, message="x" * 1000) for number in range(5)]
    bad = make_container("bad", exit_code=1, started=1.0, finished=2.0, message="no")
    (kept,) = _kept([failed(message="1", exit_code=0, containers=(*chatty, bad))])
    assert [one.message for one in kept.containers] == ["1", *[None] * 5, "no"]


def test_results_after_one_that_is_not_kept_any_more_are_said_to_be_missing() -> None:
    pods = JobPods()
    for number in range(8):
        pods.put(succeeded(f"p{number}", index=number, message="x" * 4000))
    for number in range(GONE_KEPT + 4):
        pods.put(running(f"q{number}"))
    # The first four go and are forgotten: what comes next was not kept.
    for uid in (*(f"uid-p{number}" for number in range(4)), *(f"uid-q{number}" for number in range(GONE_KEPT))):
        pods.drop(uid)
    job = _ended([succeeded()] * 8, type_="Complete", indexed=True)
    end = outcome(job)
    assert end is not None
    told = outcome_detail(job, list(pods), end)
    assert told["resultsTruncated"]
    assert [one["index"] for one in told["results"]] == [4]


def test_the_last_of_those_that_are_gone_are_kept_as_last_seen() -> None:
    pods = JobPods()
    for number in range(GONE_KEPT + 2):
        pods.put(running(f"p{number}"))
    assert pods.drop("uid-p0")
    assert not pods.drop("uid-p0")
    for number in range(1, GONE_KEPT + 1):
        pods.drop(f"uid-p{number}")
    assert pods.present() == {f"uid-p{GONE_KEPT + 1}"}
    assert [pod.name for pod in pods if pod.gone] == [f"p{number}" for number in range(1, GONE_KEPT + 1)]


@pytest.mark.parametrize("type_", ["Complete", "Failed"])
def test_a_look_at_thousands_of_failures_is_short(type_: str) -> None:
    pods = [failed(f"p{number}", index=number, message="x") for number in range(4000)]
    begun = time.process_time()
    assert transitions(_ended(pods, type_=type_), pods)
    # A comparison of each with each took 2.4 s.
    assert time.process_time() - begun < 1
