"""So many pods at a time, in the order in which they are due; a node that does not answer holds nobody else up."""

from hypothesis import given, settings, strategies as st

from handler.history.logs.turns import FIRST_PAUSE, LONGEST_PAUSE, Turns
from tests.long import examples


def test_who_is_due_first_has_the_first_turn() -> None:
    turns = Turns(2)
    for name, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        turns.put(name, name, at)
    assert (turns.take(0.0), turns.next_at(0.0)) == ([], 1.0)
    assert turns.take(2.0) == ["a", "b"]
    assert turns.take(3.0) == []
    turns.end("a")
    assert turns.take(3.0) == ["c"]
    assert turns.has_turn("c")
    assert turns.next_at(3.0) is None


def test_the_earlier_time_counts_and_a_pod_has_one_turn() -> None:
    turns = Turns(8)
    turns.put("a", "n", 5.0)
    turns.put("a", "n", 1.0)
    turns.put("a", "n", 9.0)
    assert turns.take(1.0) == ["a"]
    turns.end("a")
    assert (turns.take(10.0), turns.next_at(10.0)) == ([], None)


def test_what_is_dropped_has_no_turn() -> None:
    turns = Turns(1)
    for name in ("a", "b", "c"):
        turns.put(name, name, 0.0)
    turns.drop("a")
    assert turns.take(0.0) == ["b"]
    turns.drop("c")
    turns.end("b")
    assert turns.take(0.0) == []


def test_a_node_has_never_all_turns() -> None:
    turns = Turns(8)
    for number in range(20):
        turns.put(f"busy-{number}", "busy", 0.0)
    assert len(turns.take(0.0)) == 6
    turns.put("other", "idle", 1.0)
    assert turns.take(1.0) == ["other"]
    one = Turns(1)
    one.put("a", "n", 0.0)
    assert one.take(0.0) == ["a"]


def test_a_node_that_fails_has_one_turn_after_each_pause_until_it_answers() -> None:
    turns, now = Turns(8), 0.0
    for number in range(9):
        turns.put(f"{number}", "bad", 0.0)
    for name in turns.take(now):
        turns.failed(name, now)
        turns.end(name)
        turns.put(name, "bad", now)
    pauses = []
    for _ in range(12):
        assert turns.take(now) == []
        again = turns.next_at(now)
        assert again is not None
        assert turns.take(again - 0.01) == []
        (name,) = turns.take(again)
        pauses.append(again - now)
        now = again
        turns.failed(name, now)
        turns.end(name)
        turns.put(name, "bad", now)
    # Several that fail together say no more than one.
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)
    assert pauses == sorted(pauses)
    (name,) = turns.take(now + LONGEST_PAUSE)
    turns.answered(name)
    turns.end(name)
    assert len(turns.take(now + LONGEST_PAUSE)) == 6


def test_many_bad_nodes_leave_most_turns_to_the_good() -> None:
    turns = Turns(8)
    for number in range(50):
        turns.put(f"bad-{number}", f"bad-{number}", 0.0)
    while taken := turns.take(0.0):
        for name in taken:
            turns.failed(name, 0.0)
            turns.end(name)
            turns.put(name, name, 0.0)
    assert len(turns.take(1000.0)) == 2
    for number in range(10):
        turns.put(f"good-{number}", "good", 1000.0)
    assert [name[:4] for name in turns.take(1000.0)] == ["good"] * 6


def test_a_pod_that_is_gone_does_not_wait_for_its_node() -> None:
    turns = Turns(8)
    for name in ("a", "b"):
        turns.put(name, "bad", 0.0)
    for name in turns.take(0.0):
        turns.failed(name, 0.0)
        turns.end(name)
        turns.put(name, "bad", 0.0)
    assert turns.take(0.0) == []
    turns.put("a", "", 0.5)
    assert turns.take(0.5) == ["a"]


NODES = st.sampled_from(["", "n1", "n2", "n3"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "end", "fail", "wait"]), st.integers(0, 9), NODES), max_size=60)


class Waiting:
    """Pods that have turns, and that wait for one."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most)
        self.now = 0.0
        self.busy: set[str] = set()
        self.due: set[str] = set()

    def do(self, what: str, number: int, node: str) -> None:
        name = str(number)
        if what == "wait":
            self.now += number
        elif what == "put" and name not in self.busy:
            self.turns.put(name, node, self.now + number)
            self.due.add(name)
        elif what == "fail" and name in self.busy:
            self.turns.failed(name, self.now)
        elif what == "end" and name in self.busy:
            self.turns.end(name)
            self.busy.discard(name)

    def take(self) -> None:
        taken = self.turns.take(self.now)
        assert not self.busy & set(taken)
        self.busy |= set(taken)
        self.due -= self.busy


@given(st.integers(1, 9), STEPS)
@settings(max_examples=examples(200))
def test_everybody_has_a_turn_in_the_end(most: int, steps: list[tuple[str, int, str]]) -> None:
    waiting = Waiting(most)
    for what, number, node in steps:
        waiting.do(what, number, node)
        waiting.take()
        assert len(waiting.busy) <= most
    while waiting.due or waiting.busy:
        for name in [*waiting.busy]:
            waiting.turns.answered(name)
            waiting.do("end", int(name), "")
        waiting.now = max(waiting.now, waiting.turns.next_at(waiting.now) or 0.0)
        waiting.take()
    assert waiting.turns.take(waiting.now + 1000.0) == []
