"""What a waiting Job reserves, so that Jobs behind it do not go past it for ever."""

from typing import Any

import pytest

from events.names import Reason
from handler.admission.data import Entry
from tests.handler.admission.entries import AGEING, decide, make_entry, reasons, released

OVERDUE = 1001 * AGEING


@pytest.mark.parametrize(
    ("first", "later", "active", "limits"),
    [
        ({"gpus": 2}, {"gpus": 1}, {"gpus": 1}, {"gpus": 2}),
        ({"concurrency": "k", "limit": 1}, {"concurrency": "k"}, {"concurrency": "k"}, {}),
        ({"service": "x", "exclusive": True}, {"service": "x"}, {"service": "x"}, {}),
    ],
)
def test_what_a_job_waits_for_is_reserved_for_it(
    first: dict[str, Any], later: dict[str, Any], active: dict[str, Any], limits: dict[str, Any]
) -> None:
    waits, other = make_entry("first", **first, waited=1), make_entry("later", **later)
    decisions = decide(waits, other, active=[make_entry("active", **active)], **limits)
    assert reasons(decisions)["later"] is Reason.PRIORITY
    assert [(waiting.key[1], waiting.position) for waiting in decisions.waiting] == [("first", 1), ("later", 2)]
    # Only the reservation is in its way, not a lack of room.
    assert released(decide(other, active=[make_entry("active", **active)], **limits)) == ["later"]


def test_a_full_total_is_full_for_all() -> None:
    decisions = decide(make_entry("a"), make_entry("b", service="y"), active=[make_entry("c")], total=1)
    assert reasons(decisions) == {"a": Reason.LIMIT, "b": Reason.LIMIT}


def test_others_go_past_a_job_that_waits_for_something_they_do_not_use() -> None:
    first = make_entry("first", service="x", concurrency="k", limit=1, gpus=1, waited=9)
    others = [
        make_entry("other-service", service="y", gpus=1),
        make_entry("other-key", service="x", concurrency="l", gpus=1),
    ]
    active = [make_entry("active", concurrency="k")]
    assert reasons(decide(first, *others, active=active, per_service=5, gpus=8)) == {"first": Reason.EXCLUSIVE}


def test_each_of_several_waiting_jobs_reserves_what_it_waits_for() -> None:
    first = make_entry("first", concurrency="k", limit=1, waited=9)
    second = make_entry("second", gpus=2, waited=8)
    small, on_key = make_entry("small", gpus=1), make_entry("on-key", concurrency="k", limit=5)
    active = [make_entry("active", concurrency="k", gpus=1)]
    decisions = decide(first, second, small, on_key, active=active, gpus=2)
    assert reasons(decisions) == {
        "first": Reason.EXCLUSIVE,
        "second": Reason.LIMIT,
        "small": Reason.PRIORITY,
        "on-key": Reason.PRIORITY,
    }


def test_a_job_that_only_gives_way_reserves_nothing_more() -> None:
    first = make_entry("first", concurrency="k", limit=1, waited=9)
    second = make_entry("second", concurrency="k", gpus=1, waited=8)
    third = make_entry("third", gpus=1)
    decisions = decide(first, second, third, active=[make_entry("active", concurrency="k")], gpus=1)
    assert reasons(decisions) == {"first": Reason.EXCLUSIVE, "second": Reason.PRIORITY}


def overdue(name: str = "overdue", **fields: Any) -> Entry:
    """An entry that waits for its key, which BUSY has."""
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
def test_an_overdue_job_reserves_all_that_it_uses(
    mine: dict[str, Any], later: dict[str, Any], limits: dict[str, Any]
) -> None:
    newcomer = make_entry("newcomer", **later, priority=1000)
    assert reasons(decide(overdue(**mine), newcomer, active=[BUSY], **limits))["newcomer"] is Reason.PRIORITY
    almost = overdue(**mine, waited=OVERDUE - 1)
    assert released(decide(almost, newcomer, active=[BUSY], **limits)) == ["newcomer"]


def test_an_overdue_job_that_gives_way_to_another_reserves_all_that_it_uses_too() -> None:
    waiting = [overdue("first", limit=1, waited=OVERDUE + 1), overdue("second", gpus=1), make_entry("third", gpus=1)]
    decisions = decide(*waiting, active=[make_entry("active", concurrency="k")], gpus=8)
    assert reasons(decisions) == {"first": Reason.EXCLUSIVE, "second": Reason.PRIORITY, "third": Reason.PRIORITY}


def test_an_overdue_job_stops_neither_its_namespace_nor_jobs_that_use_nothing_it_does() -> None:
    others = [
        make_entry("same-namespace", service="y"),
        make_entry("same-service", service="x"),
        make_entry("no-service", service=""),
    ]
    waiting = [overdue(service="x", gpus=1), *others]
    decisions = decide(*waiting, active=[BUSY], total=9, per_namespace=9, gpus=1)
    assert reasons(decisions) == {"overdue": Reason.EXCLUSIVE}


def test_jobs_without_a_service_share_no_service_limit_that_could_be_reserved() -> None:
    assert released(decide(overdue(), make_entry("other"), active=[BUSY], per_service=1)) == ["other"]


@pytest.mark.parametrize("waited", [1, OVERDUE])
@pytest.mark.parametrize(
    ("mine", "limits"),
    [
        ({"gpus": 1}, {"gpus": 4}),
        ({"concurrency": "k", "limit": 1, "gpus": 1}, {"gpus": 4}),
        ({"gpus": 1}, {"gpus": 4, "per_service": 1}),
        ({"exclusive": True, "gpus": 1}, {"gpus": 4}),
    ],
)
def test_a_job_that_waits_for_its_own_service_keeps_no_gpus_from_others(
    mine: dict[str, Any], limits: dict[str, Any], waited: float
) -> None:
    """With one small Job that never ends, and one that wants all GPUs, a service would stop all others for ever."""
    endless = make_entry("endless", service="x", **mine)
    wants_all = make_entry("wants-all", service="x", waited=waited, priority=1000, **{**mine, "gpus": 4})
    others = [make_entry("other", service="y", gpus=1), make_entry("own", service="x", gpus=1)]
    decisions = decide(wants_all, *others, active=[endless], **limits)
    assert released(decisions) == ["other"]


def test_a_job_that_waits_for_other_services_keeps_gpus_from_them() -> None:
    active = [make_entry("active", service="y", gpus=1)]
    decisions = decide(
        make_entry("wants-all", service="x", waited=1, gpus=4),
        make_entry("other", service="y", gpus=1),
        active=active,
        gpus=4,
    )
    assert released(decisions) == []
