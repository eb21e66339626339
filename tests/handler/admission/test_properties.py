"""What holds of every decision, whatever waits and whatever is active. The rules one by one: test_decision.py."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from handler.admission.decision import Entry, Policy, Reason, Snapshot, admit
from tests.handler.admission.entries import AGEING, NOW, policies, snapshots
from tests.handler.admission.rules import in_conflict, in_turn, key_limit, lacks, level, on_key

FOR_ROOM = {Reason.LIMIT, Reason.PRIORITY, Reason.EXCLUSIVE}
# Other tests cover all of it; measured, this many examples would take several times as long.
pytestmark = pytest.mark.no_cover
many = settings(max_examples=210, suppress_health_check=[HealthCheck.too_slow])


def by_key(snapshot: Snapshot) -> dict[tuple[str, str], Entry]:
    return {entry.key: entry for entry in snapshot.waiting}


def admitted(snapshot: Snapshot, policy: Policy) -> list[Entry]:
    waiting = by_key(snapshot)
    return [waiting[one.key] for one in admit(snapshot, policy, NOW).released]


def held_for_room(snapshot: Snapshot, policy: Policy) -> list[tuple[Entry, Reason]]:
    """In the order of admission."""
    waiting = by_key(snapshot)
    holds = admit(snapshot, policy, NOW).held
    return [(waiting[one.key], one.reason) for one in holds if one.reason in FOR_ROOM]


@many
@given(snapshot=snapshots(), policy=policies)
def test_no_limit_is_exceeded_by_a_release(snapshot: Snapshot, policy: Policy) -> None:
    new = admitted(snapshot, policy)
    active = [*snapshot.active, *new]
    for entry in new:
        others = [one for one in active if one is not entry]
        assert not lacks(entry, others, policy)
        limit = key_limit(entry, active, policy)
        assert limit is None or len(on_key(entry, active)) <= limit


@many
@given(snapshot=snapshots(), policy=policies)
def test_who_must_be_alone_is(snapshot: Snapshot, policy: Policy) -> None:
    new = admitted(snapshot, policy)
    active = [*snapshot.active, *new]
    for entry in new:
        others = [one for one in active if one is not entry]
        if entry.exclusive or any(one.exclusive for one in others if one.service == entry.service):
            assert all(one.service != entry.service for one in others)
        if entry.limit == 1:
            assert not on_key(entry, others)


@many
@given(snapshot=snapshots(), policy=policies)
def test_nobody_runs_before_its_time_or_its_dependencies(snapshot: Snapshot, policy: Policy) -> None:
    for entry in admitted(snapshot, policy):
        assert entry.not_before is None or entry.not_before <= NOW
        outcomes = {one.outcome for one in entry.dependencies}
        assert None not in outcomes
        assert entry.run_on_failure or outcomes <= {"succeeded"}


@many
@given(snapshot=snapshots(), policy=policies, more=st.one_of(st.none(), st.integers(1, 5)))
def test_a_higher_total_takes_no_release_back(snapshot: Snapshot, policy: Policy, more: int | None) -> None:
    total = policy.total if policy.total is not None else 3
    few = admitted(snapshot, replace(policy, total=total))
    many_more = admitted(snapshot, replace(policy, total=None if more is None else total + more))
    assert many_more[: len(few)] == few


@many
@given(snapshot=snapshots(), policy=policies, seed=st.integers())
def test_the_order_of_the_snapshot_does_not_matter(snapshot: Snapshot, policy: Policy, seed: int) -> None:
    active, waiting = list(snapshot.active), list(snapshot.waiting)
    random.Random(seed).shuffle(active)
    random.Random(seed).shuffle(waiting)
    assert admit(Snapshot(active=active, waiting=waiting), policy, NOW) == admit(snapshot, policy, NOW)


@many
@given(snapshot=snapshots(), policy=policies)
def test_each_that_waits_gets_exactly_one_decision(snapshot: Snapshot, policy: Policy) -> None:
    decisions = admit(snapshot, policy, NOW)
    decided = [one.key for one in decisions.released] + [one.key for one in decisions.held]
    decided += [one.key for one in decisions.failed]
    assert sorted(decided) == sorted(by_key(snapshot))
    for_room = [one.position for one in decisions.held if one.reason in FOR_ROOM]
    assert for_room == list(range(1, len(for_room) + 1))
    assert all(one.position == 0 for one in decisions.held if one.reason not in FOR_ROOM)


@many
@given(snapshot=snapshots(), policy=policies)
def test_until_the_next_look_time_alone_changes_nothing_and_then_it_does(snapshot: Snapshot, policy: Policy) -> None:
    look_again = admit(snapshot, policy, NOW).look_again
    if look_again is None:
        assert _barred(snapshot, policy, NOW + 1e9) == _barred(snapshot, policy, NOW)
    else:
        assert look_again > NOW
        assert _barred(snapshot, policy, look_again - 0.5) == _barred(snapshot, policy, NOW)
        assert _barred(snapshot, policy, look_again) != _barred(snapshot, policy, NOW)


def _barred(snapshot: Snapshot, policy: Policy, now: float) -> dict[tuple[str, str], str]:
    """Who may not even ask for room, and why."""
    decisions = admit(snapshot, policy, now)
    held = {one.key: str(one.reason) for one in decisions.held if one.reason not in FOR_ROOM}
    return held | {one.key: one.code for one in decisions.failed}


@many
@given(snapshot=snapshots(ready=True), policy=policies)
def test_no_late_newcomer_goes_before_one_that_waits_for_the_same_room(snapshot: Snapshot, policy: Policy) -> None:
    new = admitted(snapshot, policy)
    for older, reason in held_for_room(snapshot, policy):
        for_total = reason is Reason.LIMIT and lacks(older, [*snapshot.active, *new], policy) == {"total"}
        for newer in new:
            if newer.since - older.since > (1001 - older.priority) * AGEING:
                assert not for_total
                assert not in_conflict(older, newer, policy)


@many
@given(snapshot=snapshots(ready=True), policy=policies)
def test_who_is_held_has_a_reason_for_it(snapshot: Snapshot, policy: Policy) -> None:
    active = [*snapshot.active, *admitted(snapshot, policy)]
    before: list[Entry] = []
    for entry, reason in held_for_room(snapshot, policy):
        lacking = lacks(entry, active, policy)
        if reason is Reason.EXCLUSIVE:
            assert lacking & {"key", "alone"}
        elif reason is Reason.LIMIT:
            assert lacking
        else:
            assert any(_keeps(first, entry, active, policy) for first in before)
        before.append(entry)


def _keeps(first: Entry, then: Entry, active: list[Entry], policy: Policy) -> bool:
    lacking = lacks(first, active, policy)
    if lacking & {"service", "alone"} and first.service == then.service:
        return True
    shared = in_conflict(first, then, policy)
    return bool(shared if level(first, policy, NOW) >= 1001 else shared & lacking)


@many
@given(snapshot=snapshots(ready=True), policy=policies)
def test_the_decision_is_that_of_the_rules_taken_step_by_step(snapshot: Snapshot, policy: Policy) -> None:
    able = [entry for entry in snapshot.waiting if policy.gpus is None or entry.gpus <= policy.gpus]
    released, held = in_turn(replace(snapshot, waiting=able), policy, NOW)
    assert admitted(snapshot, policy) == released
    assert held_for_room(snapshot, policy) == held
