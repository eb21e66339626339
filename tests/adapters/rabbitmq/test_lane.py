"""Claims about how lanes share one prefetch on RabbitMQ. No broker: the tests play its part."""

from hypothesis import given, strategies as st

from adapters.base import Kind, Topic
from adapters.lanes import LANES, WEIGHTS
from adapters.rabbitmq.lane import Lane, plan, shares


def lanes(*busy: str, now: float = 0.0) -> list[Lane]:
    made = [Lane(topic=Topic(Kind.REQUESTS, key), queue=f"q.{key}", weight=WEIGHTS[key]) for key in LANES]
    for lane in made:
        lane.watch = f"watch-{lane.topic.key}"
        if lane.topic.key in busy:
            lane.busy_at = now
    return made


def test_idle_lanes_share_by_weight_and_a_lone_busy_lane_has_all() -> None:
    assert shares(lanes(), prefetch=101, now=0) == {"high": 60, "": 30, "low": 10}
    assert shares(lanes(""), prefetch=101, now=0) == {"": 100}
    assert shares(lanes("high", "low"), prefetch=71, now=0) == {"high": 60, "low": 10}
    assert shares(lanes("low"), prefetch=1, now=0) == {"low": 0}


def test_nothing_changes_while_nothing_waits() -> None:
    idle = lanes()
    idle[1].bulk, idle[1].size = "bulk", 100
    planned = plan(idle, prefetch=101, now=0)
    assert (planned.end, planned.begin) == ([], [])


def test_lane_that_gets_a_backlog_waits_until_deliveries_of_the_other_lane_are_settled() -> None:
    high, normal, _ = made = lanes("high", "", now=10)
    normal.bulk, normal.size = "bulk", 90
    normal.unsettled["bulk"] = 90
    planned = plan(made, prefetch=91, now=10)
    assert (planned.end, planned.begin) == ([normal], [])
    normal.bulk, normal.size = "", 0
    assert plan(made, prefetch=91, now=10).begin == []
    for _ in range(60):
        normal.settled("bulk")
    assert plan(made, prefetch=91, now=10).begin == [(high, 60)]


def play(made: list[Lane], data: st.DataObject, now: float) -> None:
    """Some lanes get a backlog, consumers get what they may, and some deliveries of ended consumers are settled."""
    for lane in made:
        if data.draw(st.booleans()):
            lane.busy_at = now
        for tag, limit in ((lane.watch, 1), (lane.bulk, lane.size)):
            if tag:
                lane.unsettled[tag] = data.draw(st.integers(0, limit))
        for tag in set(lane.unsettled) - {lane.watch, lane.bulk}:
            lane.unsettled[tag] -= data.draw(st.integers(0, lane.unsettled[tag]))


@given(st.data(), st.integers(1, 60))
def test_lanes_take_at_most_the_prefetch_and_one_delivery_per_further_lane(data: st.DataObject, prefetch: int) -> None:
    made = lanes()
    for now in range(20):
        play(made, data, float(now))
        planned = plan(made, prefetch=prefetch, now=float(now))
        for lane in planned.end:
            lane.bulk, lane.size = "", 0
        for lane, size in planned.begin:
            lane.bulk, lane.size = f"bulk-{lane.topic.key}-{now}", size
        assert sum(lane.taken for lane in made) <= prefetch + len(made) - 1
