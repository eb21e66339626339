"""What one that is held keeps from those that come after it, so that none of them goes past it for ever."""

from typing import Any

import pytest

from events.names import Reason
from handler.admission.data import Entry
from tests.handler.admission.entries import AGEING, decide, held, make_entry, released

OVERDUE = 1001 * AGEING


@pytest.mark.parametrize(
    ("first", "later", "active", "limits"),
    [
        ({"gpus": 2}, {"gpus": 1}, {"gpus": 1}, {"gpus": 2}),
        ({"concurrency": "k", "limit": 1}, {"concurrency": "k"}, {"concurrency": "k"}, {}),
        ({"service": "x", "exclusive": True}, {"service": "x"}, {"service": "x"}, {}),
    ],
)
def test_what_is_waited_for_is_kept(
    first: dict[str, Any], later: dict[str, Any], active: dict[str, Any], limits: dict[str, Any]
) -> None:
    one, other = make_entry("first", **first, waited=1), make_entry("later", **later)
    decisions = decide(one, other, active=[make_entry("active", **active)], **limits)
    assert held(decisions)["later"] is Reason.PRIORITY
    assert [(hold.key[1], hold.position) for hold in decisions.waiting] == [("first", 1), ("later", 2)]
    # It is the reservation that holds it, not a lack of room.
    assert released(decide(other, active=[make_entry("active", **active)], **limits)) == ["later"]


def test_a_full_total_is_full_for_all() -> None:
    decisions = decide(make_entry("a"), make_entry("b", service="y"), active=[make_entry("c")], total=1)
    assert held(decisions) == {"a": Reason.LIMIT, "b": Reason.LIMIT}


def test_others_go_past_what_waits_for_something_they_do_not_use() -> None:
    first = make_entry("first", service="x", concurrency="k", limit=1, gpus=1, waited=9)
    others = [
        make_entry("other-service", service="y", gpus=1),
        make_entry("other-key", service="x", concurrency="l", gpus=1),
    ]
    active = [make_entry("active", concurrency="k")]
    assert held(decide(first, *others, active=active, per_service=5, gpus=8)) == {"first": Reason.EXCLUSIVE}


def test_each_that_is_held_keeps_what_it_waits_for() -> None:
    first = make_entry("first", concurrency="k", limit=1, waited=9)
    second = make_entry("second", gpus=2, waited=8)
    small, on_key = make_entry("small", gpus=1), make_entry("on-key", concurrency="k", limit=5)
    active = [make_entry("active", concurrency="k", gpus=1)]
    decisions = decide(first, second, small, on_key, active=active, gpus=2)
    assert held(decisions) == {
        "first": Reason.EXCLUSIVE,
        "second": Reason.LIMIT,
        "small": Reason.PRIORITY,
        "on-key": Reason.PRIORITY,
    }


def test_one_that_only_gives_way_keeps_nothing_more() -> None:
    first = make_entry("first", concurrency="k", limit=1, waited=9)
    second = make_entry("second", concurrency="k", gpus=1, waited=8)
    third = make_entry("third", gpus=1)
    decisions = decide(first, second, third, active=[make_entry("active", concurrency="k")], gpus=1)
    assert held(decisions) == {"first": Reason.EXCLUSIVE, "second": Reason.PRIORITY}


def overdue(name: str = "overdue", **fields: Any) -> Entry:
    """Waits for its key, which `busy` has."""
    return make_entry(name, **{"concurrency": "k", "waited": OVERDUE} | fields)


BUSY = make_entry("busy", concurrency="k", limit=1, service="z")


@pytest.mark.parametrize(
    ("mine", "later", "limits"),
    [
        ({"gpus": 1}, {"gpus": 1}, {"gpus": 8}),
        ({"service": "x"}, {"service": "x"}, {"per_service": 8}),
        ({"service": "x"}, {"service": "x", "exclusive": True}, {}),
        ({"service": "x", "exclusive": True}, {"service": "x"}, {}),
    ],
)
def test_an_overdue_one_keeps_all_that_it_uses(
    mine: dict[str, Any], later: dict[str, Any], limits: dict[str, Any]
) -> None:
    newcomer = make_entry("newcomer", **later, priority=1000)
    assert held(decide(overdue(**mine), newcomer, active=[BUSY], **limits))["newcomer"] is Reason.PRIORITY
    almost = overdue(**mine, waited=OVERDUE - 1)
    assert released(decide(almost, newcomer, active=[BUSY], **limits)) == ["newcomer"]


def test_an_overdue_one_that_gives_way_to_another_keeps_all_that_it_uses_too() -> None:
    waiting = [overdue("first", limit=1, waited=OVERDUE + 1), overdue("second", gpus=1), make_entry("third", gpus=1)]
    decisions = decide(*waiting, active=[make_entry("active", concurrency="k")], gpus=8)
    assert held(decisions) == {"first": Reason.EXCLUSIVE, "second": Reason.PRIORITY, "third": Reason.PRIORITY}


def test_an_overdue_one_stops_neither_its_namespace_nor_what_uses_nothing_it_does() -> None:
    others = [
        make_entry("same-namespace", service="y"),
        make_entry("same-service", service="x"),
        make_entry("no-service", service=""),
    ]
    waiting = [overdue(service="x", gpus=1), *others]
    decisions = decide(*waiting, active=[BUSY], total=9, per_namespace=9, gpus=1)
    assert held(decisions) == {"overdue": Reason.EXCLUSIVE}


def test_jobs_without_a_service_share_no_service_limit_that_could_be_kept() -> None:
    assert released(decide(overdue(), make_entry("other"), active=[BUSY], per_service=1)) == ["other"]
