"""The decision who may lead, tested with arbitrary Leases and arbitrary times."""

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from k8s.election.record import (
    PUBLISHED_TO,
    LeaseRecord,
    LeaseTiming,
    Sight,
    Step,
    claimed,
    decide,
    no_lease,
    read,
    released,
)

TIMING = LeaseTiming()
seconds = st.floats(0, 1e6)
holders = st.sampled_from(["", "a", "b", "c"])


def make_record(holder: str, version: str = "1", *, duration: Any = 10, uid: str = "u") -> LeaseRecord:
    return read(
        {
            "metadata": {"name": "l", "uid": uid, "resourceVersion": version},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": duration},
        }
    )


def test_absent_lease_of_which_no_holder_was_seen_is_created() -> None:
    assert decide(Sight().saw(None, now=5, timing=TIMING), identity="a", now=5) is Step.CREATE


def test_released_lease_is_taken_at_once() -> None:
    sight = Sight().saw(make_record("b"), now=0, timing=TIMING).saw(make_record("", "2"), now=1, timing=TIMING)
    assert decide(sight, identity="a", now=1) is Step.TAKE


def test_own_lease_is_taken_at_once() -> None:
    assert decide(Sight().saw(make_record("a"), now=0, timing=TIMING), identity="a", now=0) is Step.TAKE


@given(seen=seconds, later=st.floats(0, 100), duration=st.one_of(st.integers(-5, 60), st.none(), st.text()))
def test_lease_of_another_holder_is_left_for_its_duration_and_one_call(
    seen: float, later: float, duration: Any
) -> None:
    sight = Sight().saw(make_record("b", duration=duration), now=seen, timing=TIMING)
    length = duration if isinstance(duration, int) and duration > 0 else TIMING.lease
    expected = Step.WAIT if seen + later < seen + length + TIMING.call else Step.TAKE
    assert decide(sight, identity="a", now=seen + later) is expected


@given(seen=seconds, looks=st.lists(st.floats(0, 20), max_size=5))
def test_seeing_the_same_record_again_does_not_extend_the_wait(seen: float, looks: list[float]) -> None:
    sight = Sight().saw(make_record("b"), now=seen, timing=TIMING)
    for look in looks:
        sight = sight.saw(make_record("b"), now=seen + look, timing=TIMING)
    assert sight.held_until == pytest.approx(seen + 13)


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.one_of(st.none(), holders), st.booleans()), min_size=1, max_size=20),
    wait=st.floats(0, 30),
)
def test_no_candidate_takes_over_before_the_holder_must_have_stopped(
    steps: list[tuple[float, str | None, bool]], wait: float
) -> None:
    """Even if the Lease is deleted: after another holder's renewal, wait lease and call seconds unless it released."""
    now, sight, renewed = 0.0, Sight(), -math.inf
    for version, (pause, holder, deleted) in enumerate(steps):
        now += pause
        record = None if deleted or holder is None else make_record(holder, str(version))
        sight = sight.saw(record, now=now, timing=TIMING)
        if record is not None:
            renewed = -math.inf if record.holder == "" else now
    now += wait
    step = decide(sight, identity="a", now=now)
    if now < renewed + TIMING.lease + TIMING.call and not (sight.record and sight.record.holder == "a"):
        assert step is Step.WAIT
    else:
        assert step is not Step.WAIT


def test_taking_over_counts_a_transition_and_renewing_does_not() -> None:
    absent = no_lease(namespace="ns", name="l")
    first = claimed(absent, identity="a", at=0.5, timing=TIMING, published_to=None)
    assert first["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 10,
        "acquireTime": "1970-01-01T00:00:00.500000Z",
        "renewTime": "1970-01-01T00:00:00.500000Z",
        "leaseTransitions": 0,
    }
    renewed = claimed(read(first), identity="a", at=2, timing=TIMING, published_to=1.5)
    assert renewed["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert renewed["spec"]["leaseTransitions"] == 0
    assert read(renewed).published_to == 1.5
    taken = claimed(read(renewed), identity="b", at=20, timing=TIMING, published_to=None)
    assert taken["spec"]["leaseTransitions"] == 1
    assert read(taken).published_to == 1.5, "what the former leader published stays"


def test_release_keeps_all_but_the_holder() -> None:
    before = claimed(no_lease(namespace="ns", name="l"), identity="a", at=0, timing=TIMING, published_to=None)
    after = released(read(before), at=3, published_to=2.0)
    assert after["spec"]["holderIdentity"] == ""
    assert after["spec"]["leaseDurationSeconds"] == 1
    assert after["spec"]["acquireTime"] == before["spec"]["acquireTime"]
    assert read(after).published_to == 2.0


@pytest.mark.parametrize("garbage", ["", "yesterday", "2026-13-01T00:00:00Z", 7, None])
def test_unreadable_published_to_counts_as_absent(garbage: Any) -> None:
    record = read({"metadata": {"annotations": {PUBLISHED_TO: garbage}}, "spec": None})
    assert record.published_to is None
    assert record.holder == ""
