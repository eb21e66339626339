"""Requests that wait for other requests: which may run, which keep waiting, which can never run."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from events.names import Reason
from handler.admission.data import Entry, Snapshot, Waiting
from tests.handler.admission.entries import (
    NOW,
    decide,
    failed,
    looping,
    loops_among,
    make_entry,
    reasons,
    released,
    wait_for,
)
from tests.long import examples


def waiting_for(name: str, *ids: str, **fields: object) -> Entry:
    return make_entry(name, needs=wait_for(*ids), **fields)


def test_a_job_waits_for_requests_that_have_not_ended() -> None:
    decisions = decide(make_entry(needs=wait_for("c", until=NOW + 7)))
    assert decisions.waiting == [Waiting(key=("jobs", "a"), reason=Reason.DEPENDENCIES, position=0)]
    assert decisions.look_again == NOW + 7
    assert decide(waiting_for("a", "b")).look_again is None
    assert released(decide(make_entry(needs=wait_for()))) == ["a"]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("failed", "'b', which it depends on, failed"), ("cancelled", "'b', which it depends on, was cancelled")],
)
def test_a_job_fails_with_a_request_it_depends_on_even_while_others_are_open(outcome: str, words: str) -> None:
    entry = make_entry(needs=wait_for("open", failed=("b", outcome)))
    decisions = decide(entry)
    assert failed(decisions) == {"a": "DEPENDENCY_FAILED"}
    assert words in decisions.failed[0].message


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_job_that_runs_on_failure_runs_whatever_the_outcome(outcome: str) -> None:
    entry = make_entry(needs=wait_for(failed=("b", outcome), run_on_failure=True))
    assert released(decide(entry)) == ["a"]
    open_too = make_entry(needs=wait_for("c", failed=("b", outcome), run_on_failure=True))
    assert reasons(decide(open_too)) == {"a": Reason.DEPENDENCIES}


@pytest.mark.parametrize(
    ("seen", "code", "words"),
    [
        ({"b"}, "DEPENDENCY_TIMEOUT", "'b', which it depends on, had not ended"),
        ((), "DEPENDENCY_UNKNOWN", "'b', which it depends on, never came, or its Job is gone already"),
    ],
)
def test_a_job_fails_when_its_dependencies_take_too_long(seen: set[str], code: str, words: str) -> None:
    decisions = decide(make_entry(needs=wait_for("b", until=NOW)), seen=seen)
    assert failed(decisions) == {"a": code}
    assert words in decisions.failed[0].message
    assert decisions.look_again is None


def test_a_job_is_not_judged_before_it_was_looked_up_what_it_waits_for() -> None:
    decisions = decide(make_entry(needs=wait_for("b", until=NOW - 1, searched=False)))
    assert reasons(decisions) == {"a": Reason.DEPENDENCIES}
    # It is looked up meanwhile: until that is news, there is nothing to decide.
    assert decisions.look_again is None


def test_a_dependency_that_never_came_is_named_before_others() -> None:
    decisions = decide(make_entry(needs=wait_for("b", "c", until=NOW - 1)), seen={"b"})
    assert failed(decisions) == {"a": "DEPENDENCY_UNKNOWN"}
    assert "'c'" in decisions.failed[0].message


def test_a_job_that_can_never_run_fails_at_once_and_its_time_comes_before_dependencies() -> None:
    later = make_entry(not_before=NOW + 1, needs=wait_for(failed=("b", "failed")), gpus=9)
    assert reasons(decide(later)) == {"a": Reason.RUN_AT}
    assert failed(decide(later, gpus=1)) == {"a": "NEVER_ADMISSIBLE"}


def test_a_job_that_depends_on_itself_is_a_cycle() -> None:
    decisions = decide(waiting_for("a", "b", "a"))
    assert failed(decisions) == {"a": "DEPENDENCY_CYCLE"}
    assert "'a', which it depends on, is itself" in decisions.failed[0].message


def test_the_members_of_a_cycle_fail_and_jobs_that_only_wait_for_a_member_do_not() -> None:
    cycle = [waiting_for("a", "outside", "b"), waiting_for("b", "c"), waiting_for("c", "a")]
    between, other = waiting_for("between", "a", "x"), [waiting_for("x", "y"), waiting_for("y", "x")]
    decisions = decide(*cycle, between, *other, waiting_for("last", "between"))
    assert failed(decisions) == dict.fromkeys("abcxy", "DEPENDENCY_CYCLE")
    assert reasons(decisions) == {"between": Reason.DEPENDENCIES, "last": Reason.DEPENDENCIES}
    assert "'b', which it depends on, waits for it in turn" in decisions.failed[0].message


def test_an_outcome_breaks_a_cycle() -> None:
    entries = [make_entry("a", needs=wait_for()), waiting_for("b", "a")]
    assert released(decide(*entries)) == ["a"]


def test_a_job_that_waits_for_its_time_can_close_a_cycle() -> None:
    decisions = decide(waiting_for("a", "b", not_before=NOW + 5), waiting_for("b", "a"))
    assert failed(decisions) == {"b": "DEPENDENCY_CYCLE"}
    assert reasons(decisions) == {"a": Reason.RUN_AT}


def test_a_dependency_means_a_request_of_the_same_source_else_of_any() -> None:
    here, there = waiting_for("here", "b", request_id="a"), waiting_for("there", "a", request_id="b", source="/t")
    assert failed(decide(here, there)) == dict.fromkeys(("here", "there"), "DEPENDENCY_CYCLE")
    # Now each means the request of its own source, which waits for no other or runs already.
    assert not failed(decide(here, there, make_entry("b")))
    assert not failed(decide(here, there, active=[make_entry("a", source="/t")]))


names = st.sampled_from("abcdef")
requests = st.lists(st.tuples(names, st.sampled_from(["/s", "/t"]), st.sets(names, max_size=3)), max_size=9)


@pytest.mark.stricter
@settings(max_examples=examples(500))
@given(waiting=requests, active=requests)
def test_exactly_the_jobs_that_wait_for_themselves_form_a_cycle(
    waiting: list[tuple[str, str, set[str]]], active: list[tuple[str, str, set[str]]]
) -> None:
    snapshot = Snapshot(active=_entries("a", active), waiting=_entries("w", waiting))
    assert looping(snapshot).keys() == {
        entry.key for entry in snapshot.waiting if entry.key in _reached(entry, snapshot)
    }


def _entries(prefix: str, fields: Sequence[tuple[str, str, set[str]]]) -> list[Entry]:
    return [
        waiting_for(f"{prefix}{number}", *sorted(ids), request_id=request_id, source=source)
        for number, (request_id, source, ids) in enumerate(fields)
    ]


def _reached(start: Entry, snapshot: Snapshot) -> set[tuple[str, str]]:
    """Keys of the waiting Jobs that `start` waits for, directly or through others."""
    reached: set[tuple[str, str]] = set()
    todo = [start]
    while todo:
        entry = todo.pop()
        for request_id in entry.needs.open if entry.needs else ():
            alike = [other for other in (*snapshot.active, *snapshot.waiting) if other.request_id == request_id]
            meant = [other for other in alike if other.source == entry.source] or alike
            new = [other for other in meant if other in snapshot.waiting and other.key not in reached]
            reached |= {other.key for other in new}
            todo += new
    return reached


def test_a_chain_of_ten_thousand_is_no_cycle_until_it_is_closed() -> None:
    chain = [waiting_for(f"r{number}", f"r{number + 1}") for number in range(10_000)]
    assert not failed(decide(*chain))
    assert len(failed(decide(*chain, waiting_for("r10000", "r0")))) == 10_001


def test_jobs_that_wait_for_each_other_are_one_loop_and_others_another() -> None:
    pairs = [waiting_for(one, other) for one, other in ("ab", "ba", "cd", "dc")]
    assert sorted(sorted(name for _, name in loop) for loop in loops_among(pairs)) == [["a", "b"], ["c", "d"]]
