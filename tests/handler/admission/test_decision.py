"""The rules of admission, each by example. What holds for every decision is in test_properties.py."""

from typing import Any

import pytest

from events.names import Reason
from handler.admission.data import Entry, Limits, Release, Snapshot, Waiting
from handler.admission.decision import admit
from tests.handler.admission.entries import AGEING, NOW, decide, failed, make_entry, reasons, released, wait_for


def test_without_limits_every_job_that_may_run_is_released_in_order() -> None:
    decisions = decide(make_entry("young", waited=1), make_entry("old", waited=2), make_entry("dear", priority=5))
    assert decisions.released == [Release(key=("jobs", name)) for name in ("dear", "old", "young")]
    assert (decisions.waiting, decisions.failed, decisions.look_again) == ([], [], None)


def test_nothing_to_decide_is_nothing_decided() -> None:
    decisions = decide(active=[make_entry()], total=1)
    assert (decisions.released, decisions.waiting, decisions.failed, decisions.look_again) == ([], [], [], None)


# Time.


@pytest.mark.parametrize("reason", [Reason.RUN_AT, Reason.RETRY_DELAY])
def test_a_job_waits_until_its_time(reason: Reason) -> None:
    early = make_entry(not_before=NOW + 5, not_before_reason=reason)
    decisions = decide(early, make_entry("later", not_before=NOW + 9))
    assert decisions.waiting[0] == Waiting(key=("jobs", "a"), reason=reason, position=0)
    assert decisions.look_again == NOW + 5
    assert released(decide(make_entry(not_before=NOW, not_before_reason=reason))) == ["a"]


def test_a_job_that_waits_for_its_time_takes_no_room_and_no_position() -> None:
    early = make_entry("early", not_before=NOW + 5, priority=1000, exclusive=True, concurrency="k", limit=1)
    decisions = decide(early, make_entry("a", concurrency="k"), make_entry("b"), total=1)
    assert released(decisions) == ["a"]
    assert [(waiting.key[1], waiting.position) for waiting in decisions.waiting] == [("b", 1), ("early", 0)]


def test_the_next_look_is_at_the_nearest_moment_that_matters() -> None:
    early = make_entry("early", not_before=NOW + 5, needs=wait_for("x", until=NOW + 1))
    open_ = make_entry("open", needs=wait_for("x", until=NOW + 7))
    assert decide(open_, early).look_again == NOW + 5
    assert decide(open_).look_again == NOW + 7


# Never.


@pytest.mark.parametrize(
    ("fields", "limits", "words"),
    [
        ({"gpus": 3}, {"gpus": 2}, "JOBRELAY_MAX_ACTIVE_GPUS allows: at most 2"),
        ({}, {"total": 0}, "JOBRELAY_MAX_ACTIVE allows no Job"),
        ({}, {"per_namespace": 0}, "JOBRELAY_MAX_ACTIVE_PER_NAMESPACE allows no Job"),
        ({"service": "x"}, {"per_service": 0}, "JOBRELAY_MAX_ACTIVE_PER_SERVICE allows no Job"),
        ({"concurrency": "k"}, {"per_key": 0}, "JOBRELAY_MAX_ACTIVE_PER_KEY allows no Job"),
        ({"concurrency": "k", "limit": 0}, {}, "concurrency.limit allows no Job"),
    ],
)
def test_a_job_that_could_never_get_enough_room_fails_at_once(
    fields: dict[str, Any], limits: dict[str, Any], words: str
) -> None:
    decisions = decide(make_entry(**fields), **limits)
    assert failed(decisions) == {"a": "NEVER_ADMISSIBLE"}
    assert words in decisions.failed[0].message
    assert not decisions.released


@pytest.mark.parametrize(
    ("fields", "limits"),
    [({"gpus": 2}, {"gpus": 2}), ({}, {"gpus": 0}), ({}, {"per_service": 0}), ({}, {"per_key": 0}), ({"limit": 0}, {})],
)
def test_a_limit_that_does_not_concern_a_job_does_not_fail_it(fields: dict[str, Any], limits: dict[str, Any]) -> None:
    assert released(decide(make_entry(**fields), **limits)) == ["a"]


# Order.


def test_waiting_counts_as_priority_and_only_whole_steps_do() -> None:
    old, dear = make_entry("old", waited=3 * AGEING), make_entry("dear", priority=3)
    assert released(decide(old, dear)) == ["old", "dear"]
    almost = make_entry("almost", waited=3 * AGEING - 1)
    assert released(decide(almost, dear)) == ["dear", "almost"]


def test_a_job_that_begins_to_wait_in_the_future_has_its_priority() -> None:
    assert released(decide(make_entry("a", waited=-5 * AGEING, priority=1), make_entry("b"))) == ["a", "b"]


def test_services_share_no_matter_which_came_first() -> None:
    flood = [make_entry(f"flood-{number}", service="x", waited=9 - number) for number in range(4)]
    few = [make_entry("few-0", service="y", waited=2), make_entry("few-1", service="y", waited=1)]
    assert released(decide(*flood, *few, total=4)) == ["flood-0", "few-0", "flood-1", "few-1"]


def test_active_jobs_of_a_service_count_in_sharing() -> None:
    active = [make_entry("x-0", service="x"), make_entry("x-1", service="x")]
    waiting = [make_entry("x-2", service="x", waited=9), make_entry("y-0", service="y"), make_entry("z-0")]
    assert released(decide(*waiting, active=active)) == ["y-0", "z-0", "x-2"]


def test_sharing_is_among_jobs_of_the_same_level() -> None:
    waiting = [make_entry("y", service="y"), make_entry("x", service="x", priority=1)]
    assert released(decide(*waiting, active=[make_entry("a", service="x")])) == ["x", "y"]


def test_jobs_without_a_service_are_one_service_in_sharing() -> None:
    waiting = [make_entry("none-0", waited=3), make_entry("none-1", waited=2), make_entry("x-0", service="x", waited=1)]
    assert released(decide(*waiting)) == ["none-0", "x-0", "none-1"]


# Room.


@pytest.mark.parametrize(
    ("fields", "other", "limits"),
    [
        ({}, {}, {"total": 1}),
        ({"service": "x"}, {"service": "x"}, {"per_service": 1}),
        ({}, {}, {"per_namespace": 1}),
        ({"gpus": 2}, {"gpus": 1}, {"gpus": 2}),
    ],
)
def test_a_job_waits_while_a_limit_is_reached(
    fields: dict[str, Any], other: dict[str, Any], limits: dict[str, Any]
) -> None:
    waiting, active = make_entry(**fields), make_entry("other", **other)
    assert reasons(decide(waiting, active=[active], **limits)) == {"a": Reason.LIMIT}
    # A Job released by this decision counts too.
    assert reasons(decide(make_entry("other", **other, priority=1), waiting, **limits)) == {"a": Reason.LIMIT}
    assert released(decide(waiting, **limits)) == ["a"]


@pytest.mark.parametrize(
    ("fields", "other", "limits"),
    [
        ({"service": "x"}, {"service": "y"}, {"per_service": 1}),
        ({}, {}, {"per_service": 1}),
        ({"key": ("m", "a")}, {"key": ("n", "b")}, {"per_namespace": 1}),
        ({}, {"gpus": 2}, {"gpus": 2}),
        ({"concurrency": "k"}, {"concurrency": "l"}, {"per_key": 1}),
        ({"limit": 1}, {"limit": 1}, {"per_key": 1}),
        ({"concurrency": "k"}, {"concurrency": "k"}, {}),
    ],
)
def test_a_limit_concerns_only_the_jobs_it_is_about(
    fields: dict[str, Any], other: dict[str, Any], limits: dict[str, Any]
) -> None:
    assert released(decide(make_entry(**fields), active=[make_entry("other", **other)], **limits)) == ["a"]


def on_key(name: str, limit: int | None = None, **fields: Any) -> Entry:
    return make_entry(name, concurrency="k", limit=limit, **fields)


@pytest.mark.parametrize(
    ("own", "active", "per_key", "reason"),
    [
        (2, [None, None], None, Reason.LIMIT),
        (3, [None, None], None, None),
        (None, [2, 3], None, Reason.LIMIT),
        (None, [3, 5], None, None),
        (None, [None, None], 2, Reason.LIMIT),
        (5, [5, 5], 2, Reason.LIMIT),
        (None, [1], None, Reason.EXCLUSIVE),
        (1, [5], None, Reason.EXCLUSIVE),
        (1, [], None, None),
    ],
)
def test_the_smallest_limit_given_for_a_key_applies(
    own: int | None, active: list[int | None], per_key: int | None, reason: Reason | None
) -> None:
    others = [on_key(f"other-{number}", limit) for number, limit in enumerate(active)]
    assert reasons(decide(on_key("a", own), active=others, per_key=per_key)).get("a") is reason


def test_a_key_is_the_same_in_every_service_and_namespace() -> None:
    other = make_entry(key=("elsewhere", "other"), service="y", concurrency="k")
    assert reasons(decide(on_key("a", 1, service="x"), active=[other])) == {"a": Reason.EXCLUSIVE}


@pytest.mark.parametrize("service", ["x", ""])
def test_an_exclusive_job_waits_until_its_service_is_empty_and_then_has_it_alone(service: str) -> None:
    exclusive, other = make_entry("a", service=service, exclusive=True), make_entry("b", service=service)
    elsewhere = make_entry("c", service="z")
    assert reasons(decide(exclusive, active=[other, elsewhere])) == {"a": Reason.EXCLUSIVE}
    assert reasons(decide(other, active=[exclusive])) == {"b": Reason.EXCLUSIVE}
    assert released(decide(exclusive, active=[elsewhere])) == ["a"]
    assert reasons(decide(exclusive, other, elsewhere)) == {"b": Reason.EXCLUSIVE}


def test_limit_is_the_reason_where_a_limit_and_another_job_are_in_the_way() -> None:
    assert reasons(decide(on_key("a", 1), active=[on_key("b")], total=1)) == {"a": Reason.LIMIT}


def test_more_may_be_active_than_a_limit_that_was_lowered() -> None:
    active = [on_key("a", gpus=2), on_key("b", gpus=2)]
    assert reasons(decide(on_key("c", gpus=1), active=active, total=1, per_key=1, gpus=3)) == {"c": Reason.LIMIT}


def test_the_caller_says_what_time_it_is() -> None:
    snapshot = Snapshot(active=[], waiting=[make_entry(not_before=NOW + 5)])
    assert released(admit(snapshot, Limits(), NOW + 5)) == ["a"]
