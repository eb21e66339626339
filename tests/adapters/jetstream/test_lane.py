"""Claims about how lanes share one prefetch on NATS: which lane may ask the broker for how much."""

from hypothesis import given, strategies as st

from adapters.base import Kind, Topic
from adapters.jetstream.lane import Lane, plan, room, wanting
from adapters.lanes import HIGH, LANES, LONGEST_PAUSE, LOW, NORMAL, WEIGHTS


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
def test_plan_never_asks_for_more_than_the_prefetch(lanes: tuple[Lane, ...], capacity: int) -> None:
    before = sum(lane.taken for lane in lanes)
    pulls = plan(lanes, capacity=capacity, now=1.0)
    asked = sum(batch or 1 for _, batch in pulls)
    assert asked <= max(0, capacity - before)
    assert len({lane.topic for lane, _ in pulls}) == len(pulls)
    assert all(batch <= lane.backlog for lane, batch in pulls)
    assert all(lane.idle for lane, batch in pulls if batch == 0)


@given(lanes, st.integers(3, 200))
def test_nothing_is_planned_unless_the_quick_look_says_so(lanes: tuple[Lane, ...], capacity: int) -> None:
    assert wanting(lanes, capacity=capacity) or not plan(lanes, capacity=capacity, now=1.0)


def test_the_quick_look_finds_nothing_while_all_places_are_taken_or_nothing_waits() -> None:
    watched = (lane(HIGH, watch=True), lane(LOW, watch=True))
    assert not wanting((*watched, lane(NORMAL, unsettled=8, backlog=9)), capacity=10)
    assert wanting((*watched, lane(NORMAL, unsettled=7, backlog=9)), capacity=10)
    assert not wanting((*watched, lane(NORMAL, unsettled=4, coming=3, backlog=9)), capacity=10)
    assert not wanting((*watched, lane(NORMAL, watch=True)), capacity=10)
    assert wanting((*watched, lane(NORMAL)), capacity=10)


@given(lanes, st.integers(3, 200))
def test_plan_leaves_no_place_unused_when_nothing_is_coming(lanes: tuple[Lane, ...], capacity: int) -> None:
    for waiting in lanes:
        waiting.grabs.clear()
        waiting.coming = 0
    pulls = {pull.topic: batch for pull, batch in plan(lanes, capacity=capacity, now=1.0)}
    free = capacity - sum(waiting.taken for waiting in lanes) - sum(batch or 1 for batch in pulls.values())
    assert free <= 0 or all(waiting.backlog == pulls.get(waiting.topic, 0) for waiting in lanes)


def test_lone_busy_lane_gets_all_places_except_one_for_each_other_lane() -> None:
    busy = lane(NORMAL, backlog=1000)
    pulls = {pull.topic.key: batch for pull, batch in plan((lane(HIGH), busy, lane(LOW)), capacity=100, now=1.0)}
    assert pulls == {HIGH: 0, NORMAL: 98, LOW: 0}


def test_busy_lanes_share_by_weight() -> None:
    busy = [lane(key, backlog=1000) for key in LANES]
    assert [batch for _, batch in plan(busy, capacity=100, now=1.0)] == [60, 30, 10]


def test_every_busy_lane_gets_a_place_however_few_places_there_are() -> None:
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


def test_pulls_are_counted_until_they_end() -> None:
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


@given(lanes, st.integers(3, 200), st.integers(0, 100))
def test_plan_asks_for_no_more_than_fits_except_one_message_of_a_lane_that_has_none(
    lanes: tuple[Lane, ...], capacity: int, held: int
) -> None:
    for waiting in lanes:
        waiting.held = held * waiting.unsettled
    fits = room(lanes, max_bytes=5000, largest=100)
    pulls = plan(lanes, capacity=capacity, now=1.0, room=fits)
    first = sum(1 for waiting, _ in pulls if not waiting.taken)
    assert sum(batch or 1 for _, batch in pulls) <= max(fits, 0) + first
    if any(waiting.backlog and not waiting.taken for waiting in lanes) and capacity > sum(w.taken for w in lanes) + 3:
        assert pulls
