"""Claims about turns between lanes, and about who may ask the broker for how much."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from adapters.background import running
from adapters.base import Kind, Topic
from adapters.jetstream.delivery import Receipt
from adapters.jetstream.lane import Lane, plan
from adapters.lanes import HIGH, LANES, LONGEST_PAUSE, LOW, NORMAL, WEIGHTS, Turns
from tests.patience import PATIENCE


def test_turns_follow_the_weights() -> None:
    turns = Turns(WEIGHTS)
    taken = Counter(turns.next(LANES) for _ in range(1000))
    assert taken == {HIGH: 600, NORMAL: 300, LOW: 100}


def test_lane_that_was_empty_saved_up_no_turns() -> None:
    turns = Turns(WEIGHTS)
    for _ in range(1000):
        turns.next([LOW])
    # High goes first, and does not shut low out for as long as it was away.
    taken = [turns.next([HIGH, LOW]) for _ in range(20)]
    assert taken[0] == HIGH
    assert taken.count(LOW) >= 2


def lane(key: str, *, unsettled: int = 0, backlog: int = 0, coming: int = 0, watch: bool = False) -> Lane:
    made = Lane(
        topic=Topic(Kind.REQUESTS, key), consumer=f"c-{key}", weight=WEIGHTS[key], unsettled=unsettled, backlog=backlog
    )
    if coming:
        made.request(coming)
        made.backlog = backlog
    elif watch:
        made.request(0)
    return made


numbers = st.integers(0, 50)
lanes = st.tuples(
    *(
        st.builds(lane, st.just(key), unsettled=numbers, backlog=numbers, coming=numbers, watch=st.booleans())
        for key in LANES
    )
)


@given(lanes, st.integers(3, 200))
def test_plan_never_takes_more_places_than_there_are(lanes: tuple[Lane, ...], capacity: int) -> None:
    before = sum(lane.taken for lane in lanes)
    pulls = plan(lanes, capacity=capacity, now=1.0)
    asked = sum(batch or 1 for _, batch in pulls)
    assert asked <= max(0, capacity - before)
    assert len({lane.topic for lane, _ in pulls}) == len(pulls)
    assert all(batch <= lane.backlog for lane, batch in pulls)
    assert all(lane.idle for lane, batch in pulls if batch == 0)


@given(lanes, st.integers(3, 200))
def test_plan_leaves_no_place_unused_once_nothing_more_is_coming(lanes: tuple[Lane, ...], capacity: int) -> None:
    for waiting in lanes:
        waiting.grabs.clear()
        waiting.coming = 0
    pulls = {pull.topic: batch for pull, batch in plan(lanes, capacity=capacity, now=1.0)}
    free = capacity - sum(waiting.taken for waiting in lanes) - sum(batch or 1 for batch in pulls.values())
    assert free <= 0 or all(waiting.backlog == pulls.get(waiting.topic, 0) for waiting in lanes)


def test_lone_lane_gets_everything_but_a_place_for_each_other() -> None:
    busy = lane(NORMAL, backlog=1000)
    pulls = {pull.topic.key: batch for pull, batch in plan((lane(HIGH), busy, lane(LOW)), capacity=100, now=1.0)}
    assert pulls == {HIGH: 0, NORMAL: 98, LOW: 0}


def test_busy_lanes_share_by_weight() -> None:
    busy = [lane(key, backlog=1000) for key in LANES]
    assert [batch for _, batch in plan(busy, capacity=100, now=1.0)] == [60, 30, 10]


def test_every_busy_lane_gets_a_place_however_few_there_are() -> None:
    busy = [lane(key, backlog=1000) for key in LANES]
    assert [batch for _, batch in plan(busy, capacity=3, now=1.0)] == [1, 1, 1]


def test_failing_lane_pauses_longer_and_longer_and_recovers_at_once() -> None:
    failing = lane(HIGH)
    pauses = []
    for _ in range(10):
        failing.failed(100.0)
        pauses.append(failing.backoff.resume_at - 100.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert plan([failing], capacity=10, now=101.0) == []
    assert failing.backoff.recovered()
    assert not failing.backoff.recovered()
    assert plan([failing], capacity=10, now=100.0 + LONGEST_PAUSE) == [(failing, 0)]


def test_requests_are_accounted_until_they_end() -> None:
    grabbing = lane(HIGH, backlog=10)
    first, second = grabbing.request(4), grabbing.request(6)
    assert (grabbing.taken, grabbing.backlog) == (10, 0)
    for pending in (9, 8, 7, 6, 5):
        grabbing.arrived(pending, again=False, capacity=20)
    assert grabbing.grabs == {second: 5}
    grabbing.ended(first)
    grabbing.ended(second)
    assert grabbing.coming == 0
    assert not grabbing.requested


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.S.c.3.17.42.1795306793452135482.5",
        "$JS.ACK.hub.ACCOUNT.S.c.3.17.42.1795306793452135482.5",
        "$JS.ACK._.ACCOUNT.S.c.3.17.42.1795306793452135482.5.random",
    ],
)
def test_receipt_is_read_with_and_without_a_domain(reply: str) -> None:
    receipt = Receipt(reply)
    assert (receipt.stream, receipt.delivered, receipt.sequence, receipt.number) == ("S", 3, 17, 42)
    assert (receipt.time_ns, receipt.pending) == (1795306793452135482, 5)


async def test_block_ends_with_the_error_of_what_runs_beside_it() -> None:
    async def fail() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        async with asyncio.timeout(PATIENCE), running(fail()):
            await asyncio.Event().wait()
    # The cancellation was for that block only.
    await asyncio.sleep(0)
