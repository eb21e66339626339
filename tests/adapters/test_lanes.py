"""Claims about turns between lanes."""

from collections import Counter

from adapters.lanes import HIGH, LANES, LOW, NORMAL, WEIGHTS, Turns


def test_turns_follow_the_weights() -> None:
    turns = Turns(WEIGHTS)
    taken = Counter(turns.next(LANES) for _ in range(1000))
    assert taken == {HIGH: 600, NORMAL: 300, LOW: 100}


def test_lane_that_was_empty_has_saved_no_turns() -> None:
    turns = Turns(WEIGHTS)
    for _ in range(1000):
        turns.next([LOW])
    # High goes first, but does not shut low out for as long as high was empty.
    taken = [turns.next([HIGH, LOW]) for _ in range(20)]
    assert taken[0] == HIGH
    assert taken.count(LOW) >= 2
