"""Shares of the Jobs that may wait: what one service leaves to others, whoever came first, and what it has alone."""

from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from events.jobs.annotation import read_stored
from handler.admission.shares import WANTED_SECONDS, Bound, Counts, Places, Shares, half_of, named

NOW = 1_000_000.0
LATER = NOW + WANTED_SECONDS + 1


def places(number: int, held: Mapping[str, int] | None = None, *, total: int | None = None) -> Places:
    """Places as a leader counted them."""
    made = Places(number)
    made.counted(total or sum((held or {}).values()), None if held is None else named(held), until=NOW)
    return made


def test_alone_a_service_may_have_all_places_and_no_more() -> None:
    one = places(10, {"a": 9})
    assert one.ask("a", NOW) is None
    one.taken("a", NOW)
    assert one.ask("a", NOW) is Bound.ALONE
    assert not one.is_full(), "another may come"


def test_once_another_has_a_place_a_service_gets_none_beyond_its_half() -> None:
    both = places(10, {"a": 5, "b": 1})
    assert both.ask("a", NOW) is Bound.SHARE
    assert both.ask("b", NOW) is None
    assert not both.is_full()
    assert places(10, {"a": 4, "b": 1}).ask("a", NOW) is None


def test_a_service_that_took_all_while_it_was_alone_leaves_others_their_half() -> None:
    late = places(10, {"a": 10})
    for _ in range(5):
        assert late.ask("b", NOW) is None
        assert not late.is_full()
        assert late.ask("a", NOW) is Bound.SHARE
        late.taken("b", NOW)
    assert late.ask("b", NOW) is Bound.SHARE
    assert late.ask("c", NOW) is Bound.ALL
    assert late.is_full()


def test_who_has_asked_lately_wants_places_though_it_has_none() -> None:
    one = places(10, {"a": 5})
    assert one.ask("b", NOW) is None
    assert one.ask("a", NOW + 1) is Bound.SHARE
    assert one.ask("a", LATER) is None


def test_a_service_without_a_name_is_one_of_them() -> None:
    both = places(4, {"": 2, "a": 1})
    assert both.ask("", NOW) is Bound.SHARE
    assert both.ask("a", NOW) is None


def test_a_leader_that_knows_no_shares_bounds_all_together() -> None:
    old = places(10, total=9)
    for _ in range(2):
        assert old.ask("a", NOW) is None
    assert old.ask("b", NOW) is None
    old.taken("a", NOW)
    assert old.ask("b", NOW) is Bound.ALL
    assert old.is_full()


def test_what_was_created_here_counts_until_the_leader_has_counted_it() -> None:
    mine = places(10, {"a": 4, "b": 1})
    mine.taken("a", NOW + 1)
    assert mine.ask("a", NOW + 1) is Bound.SHARE
    mine.counted(6, {"a": 5}, until=NOW + 2)
    assert mine.ask("a", NOW + 2) is Bound.SHARE
    mine.counted(5, {"a": 4}, until=NOW + 2)
    assert mine.ask("a", NOW + 2) is None


held = st.dictionaries(st.text("abcdefgh", max_size=2), st.integers(1, 50), max_size=60)


@given(held)
def test_the_services_that_hold_most_are_named_and_they_are_few(held: dict[str, int]) -> None:
    found = named(held)
    assert len(found) <= 8
    assert found.items() <= held.items()
    others = [own for service, own in held.items() if service not in found]
    assert not others or (len(found) == 8 and max(others) <= min(found.values()))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60), st.integers(1, 12))
@example([(service, step == 3) for step, service in enumerate("aabbbba")], 6)
def test_nobody_who_has_less_than_its_half_is_refused_for_its_share_and_all_together_stay_bounded(
    asked: list[tuple[str, bool]], number: int
) -> None:
    """Whatever is asked for in whatever order, with a leader that counts now and then."""
    mine, truth = Places(number), Counter[str]()
    mine.counted(0, {}, until=NOW)
    for step, (service, is_counted) in enumerate(asked, 1):
        now = NOW + step
        if is_counted:
            mine.counted(truth.total(), named(truth), until=now)
        bound = mine.ask(service, now)
        if truth[service] < half_of(number):
            assert bound is not Bound.SHARE
            others = sum(min(own, half_of(number)) for other, own in truth.items() if other != service)
            assert (bound is not None) == (truth[service] + others >= number)
        if bound is None:
            truth[service] += 1
            mine.taken(service, now)
        assert truth.total() <= number + number // 2 + 1


@pytest.mark.parametrize(
    "old", [b'{"queued":3,"waiting":2,"active":1}', b'{"queued":3,"waiting":2,"active":1,"new":{}}']
)
def test_counts_of_older_and_newer_leaders_can_be_read(old: bytes) -> None:
    assert read_stored(old.decode(), Counts) == Counts(queued=3, waiting=2, active=1)


def test_counts_can_be_read_by_handlers_that_know_no_shares() -> None:
    class Before(msgspec.Struct):
        queued: int = 0
        waiting: int = 0
        active: int = 0

    counts = Counts(queued=3, waiting=2, active=1, shares=Shares(queued={"a": 3}, waiting={"": 2}))
    written = msgspec.json.encode(counts).decode()
    assert read_stored(written, Before) == Before(3, 2, 1)
    assert read_stored(written, Counts) == counts
