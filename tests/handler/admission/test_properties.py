"""What holds for every decision, whatever waits and whatever is active. Each rule by example: test_decision.py."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from events.names import Reason
from handler.admission.data import Entry, Limits, Snapshot
from handler.admission.decision import admit
from tests.handler.admission.entries import AGEING, NOW, any_limits, snapshots
from tests.handler.admission.rules import in_conflict, in_turn, key_limit, lacks, level, on_key, own_doing
from tests.long import examples

FOR_ROOM = {Reason.LIMIT, Reason.PRIORITY, Reason.EXCLUSIVE}
pytestmark = pytest.mark.stricter
many = settings(max_examples=examples(210), suppress_health_check=[HealthCheck.too_slow])


def by_key(snapshot: Snapshot) -> dict[tuple[str, str], Entry]:
    return {entry.key: entry for entry in snapshot.waiting}


def admitted(snapshot: Snapshot, limits: Limits) -> list[Entry]:
    waiting = by_key(snapshot)
    return [waiting[release.key] for release in admit(snapshot, limits, NOW).released]


def kept_waiting_for_room(snapshot: Snapshot, limits: Limits) -> list[tuple[Entry, Reason]]:
    """In admission order."""
    entries = by_key(snapshot)
    decided = admit(snapshot, limits, NOW).waiting
    return [(entries[waiting.key], waiting.reason) for waiting in decided if waiting.reason in FOR_ROOM]


@many
@given(snapshot=snapshots(), limits=any_limits)
def test_no_limit_is_exceeded_by_a_release(snapshot: Snapshot, limits: Limits) -> None:
    new = admitted(snapshot, limits)
    active = [*snapshot.active, *new]
    for entry in new:
        others = [other for other in active if other is not entry]
        assert not lacks(entry, others, limits)
        limit = key_limit(entry, active, limits)
        assert limit is None or len(on_key(entry, active)) <= limit


@many
@given(snapshot=snapshots(), limits=any_limits)
def test_a_job_that_must_be_alone_is_alone(snapshot: Snapshot, limits: Limits) -> None:
    new = admitted(snapshot, limits)
    active = [*snapshot.active, *new]
    for entry in new:
        others = [other for other in active if other is not entry]
        if entry.exclusive or any(other.exclusive for other in others if other.service == entry.service):
            assert all(other.service != entry.service for other in others)
        if entry.limit == 1:
            assert not on_key(entry, others)


@many
@given(snapshot=snapshots(), limits=any_limits)
def test_no_job_runs_before_its_time_or_its_dependencies(snapshot: Snapshot, limits: Limits) -> None:
    for entry in admitted(snapshot, limits):
        assert entry.not_before is None or entry.not_before <= NOW
        assert entry.needs is None or not entry.needs.open
        assert entry.needs is None or entry.needs.run_on_failure or entry.needs.failed is None


@many
@given(snapshot=snapshots(), limits=any_limits, more=st.one_of(st.none(), st.integers(1, 5)))
def test_a_higher_total_takes_no_release_back(snapshot: Snapshot, limits: Limits, more: int | None) -> None:
    total = limits.total if limits.total is not None else 3
    few = admitted(snapshot, replace(limits, total=total))
    many_more = admitted(snapshot, replace(limits, total=None if more is None else total + more))
    assert many_more[: len(few)] == few


@many
@given(snapshot=snapshots(), limits=any_limits, seed=st.integers())
def test_the_order_of_the_snapshot_does_not_matter(snapshot: Snapshot, limits: Limits, seed: int) -> None:
    active, waiting = list(snapshot.active), list(snapshot.waiting)
    random.Random(seed).shuffle(active)
    random.Random(seed).shuffle(waiting)
    assert admit(replace(snapshot, active=active, waiting=waiting), limits, NOW) == admit(snapshot, limits, NOW)


@many
@given(snapshot=snapshots(), limits=any_limits)
def test_each_waiting_job_gets_exactly_one_decision(snapshot: Snapshot, limits: Limits) -> None:
    decisions = admit(snapshot, limits, NOW)
    decided = [release.key for release in decisions.released]
    decided += [waiting.key for waiting in decisions.waiting]
    decided += [fail.key for fail in decisions.failed]
    assert sorted(decided) == sorted(by_key(snapshot))
    for_room = [waiting.position for waiting in decisions.waiting if waiting.reason in FOR_ROOM]
    assert for_room == list(range(1, len(for_room) + 1))
    assert all(waiting.position == 0 for waiting in decisions.waiting if waiting.reason not in FOR_ROOM)


@many
@given(snapshot=snapshots(), limits=any_limits)
def test_until_the_next_look_time_alone_changes_nothing_and_then_it_does(snapshot: Snapshot, limits: Limits) -> None:
    look_again = admit(snapshot, limits, NOW).look_again
    if look_again is None:
        assert _barred(snapshot, limits, NOW + 1e9) == _barred(snapshot, limits, NOW)
    else:
        assert look_again > NOW
        assert _barred(snapshot, limits, look_again - 0.5) == _barred(snapshot, limits, NOW)
        assert _barred(snapshot, limits, look_again) != _barred(snapshot, limits, NOW)


def _barred(snapshot: Snapshot, limits: Limits, now: float) -> dict[tuple[str, str], str]:
    """The Jobs that may not even ask for room, by key, and why."""
    decisions = admit(snapshot, limits, now)
    not_yet = {waiting.key: str(waiting.reason) for waiting in decisions.waiting if waiting.reason not in FOR_ROOM}
    return not_yet | {fail.key: fail.code for fail in decisions.failed}


@many
@given(snapshot=snapshots(ready=True), limits=any_limits)
def test_no_late_newcomer_goes_before_a_job_that_waits_for_the_same_room(snapshot: Snapshot, limits: Limits) -> None:
    new = admitted(snapshot, limits)
    active = [*snapshot.active, *new]
    for older, reason in kept_waiting_for_room(snapshot, limits):
        for_total = reason is Reason.LIMIT and lacks(older, [*snapshot.active, *new], limits) == {"total"}
        for newer in new:
            if newer.since - older.since > (1001 - older.priority) * AGEING:
                assert not for_total
                assert not conflicts(older, newer, active, limits)


@many
@given(snapshot=snapshots(ready=True), limits=any_limits)
def test_each_job_that_waits_for_room_has_a_true_reason(snapshot: Snapshot, limits: Limits) -> None:
    active = [*snapshot.active, *admitted(snapshot, limits)]
    before: list[Entry] = []
    for entry, reason in kept_waiting_for_room(snapshot, limits):
        lacking = lacks(entry, active, limits)
        if reason is Reason.EXCLUSIVE:
            assert lacking & {"key", "alone"}
        elif reason is Reason.LIMIT:
            assert lacking
        else:
            assert any(_reserves(first, entry, active, limits) for first in before)
        before.append(entry)


def conflicts(first: Entry, then: Entry, active: list[Entry], limits: Limits) -> set[str]:
    """What `then` has to leave `first`. A Job that waits for its own service does not keep GPUs from others."""
    passable = {"gpus"} if first.service != then.service and own_doing(first, active, limits) else set()
    return in_conflict(first, then, limits) - passable


def _reserves(first: Entry, then: Entry, active: list[Entry], limits: Limits) -> bool:
    lacking = lacks(first, active, limits)
    if lacking & {"service", "alone"} and first.service == then.service:
        return True
    shared = in_conflict(first, then, limits)
    return bool(shared if level(first, limits, NOW) >= 1001 else shared & lacking)


@many
@given(snapshot=snapshots(ready=True), limits=any_limits)
def test_the_decision_is_that_of_the_rules_applied_step_by_step(snapshot: Snapshot, limits: Limits) -> None:
    able = [entry for entry in snapshot.waiting if limits.gpus is None or entry.gpus <= limits.gpus]
    released, kept_waiting = in_turn(replace(snapshot, waiting=able), limits, NOW)
    assert admitted(snapshot, limits) == released
    assert kept_waiting_for_room(snapshot, limits) == kept_waiting
