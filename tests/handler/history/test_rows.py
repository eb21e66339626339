"""What events make of the row of a request, and of the statistics."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import asdict

from events.phases import LAST, TERMINAL, Phase
from handler.history.base import Entry, Key, Request, Stat
from handler.history.rows import LONGEST, advance, stat_of
from tests.long import examples

KEY = Key("invoice-1", "cause-1", "/shop")
ALWAYS = settings(max_examples=examples(100))


def told(phase: str, time: float, uid: str | None = "a", *, run: float | None = None, **changes: Any) -> Entry:
    named = {} if uid is None else {"job_uid": uid}
    return Entry(
        id=f"{uid}/{phase}/{time}", key=KEY, phase=Phase(phase), time=time, changes=named | changes, body=b"{}", run=run
    )


def row(*entries: Entry, before: Request | None = None) -> Request:
    after = before
    for entry in entries:
        after = advance(after, entry)
    assert after is not None
    return after


def added(entries: Sequence[Entry]) -> list[Stat | None]:
    after = None
    found = []
    for entry in entries:
        after = advance(after, entry)
        found.append(stat_of(after, entry))
    return found


def test_of_a_request_that_succeeds_the_row_has_all_that_was_told() -> None:
    after = row(
        told("created", 100, image="alpine", service="billing", attempt=1),
        told("queued", 100, reason="limit"),
        told("started", 110, started=110.0, reason=None),
        told("progress", 115, peak_cpu=0.5),
        told("succeeded", 130, started=110.0, finished=130.0, exit_code=0, result=b"7"),
    )
    assert (after.phase, after.terminal, after.reason) == (Phase.SUCCEEDED, True, None)
    assert (after.created, after.started, after.finished, after.updated) == (100, 110, 130, 130)
    assert (after.image, after.service, after.peak_cpu, after.exit_code, after.result) == (
        "alpine", "billing", 0.5, 0, b"7"
    )  # fmt: skip


def test_an_end_stays_the_end_of_its_job() -> None:
    ended = row(told("created", 100), told("failed", 120, finished=120.0, error_code="TIMEOUT"))
    for late in (
        told("stalled", 125, reason="IMAGE_PULL", message="x"),
        told("succeeded", 130, finished=130.0, error_code=None, exit_code=0),
        told("progress", 131, peak_cpu=2.0),
    ):
        after = advance(ended, late)
        assert (after.phase, after.terminal, after.finished, after.error_code) == (Phase.FAILED, True, 120, "TIMEOUT")
        assert (after.reason, after.message, after.exit_code) == (None, None, None)
        assert after.updated == late.time


def test_created_may_come_after_what_followed_it() -> None:
    began = row(told("started", 110, started=110.0))
    after = advance(began, told("created", 100, image="alpine", reason=None))
    assert (after.phase, after.image, after.created, after.updated) == (Phase.STARTED, "alpine", 100, 110)
    ended = row(told("succeeded", 120, finished=120.0), told("created", 100, image="alpine"))
    assert (ended.phase, ended.image, ended.created) == (Phase.SUCCEEDED, "alpine", 100)


def test_the_same_request_asked_for_again_begins_anew_in_its_row() -> None:
    first = row(told("created", 100, gpus=1), told("failed", 120, finished=120.0, error_code="TIMEOUT", attempt=3))
    kept = Request(**{**{name: getattr(first, name) for name in first.__struct_fields__}, "pk": 7})
    after = advance(kept, told("created", 5000, "b", attempt=1))
    assert (after.pk, after.phase, after.terminal, after.job_uid) == (7, Phase.CREATED, False, "b")
    assert (after.created, after.finished, after.error_code, after.gpus, after.attempt) == (5000, None, None, None, 1)
    # Also when its Job went without an end, and when the beginning of the second one was lost.
    assert advance(row(told("started", 110)), told("created", 5000, "b")).phase is Phase.CREATED
    assert advance(kept, told("started", 5000, "b")).job_uid == "b"


def test_what_comes_late_of_the_former_job_changes_nothing_of_the_one_that_began_anew() -> None:
    after = row(told("failed", 120, finished=120.0), told("created", 5000, "b"), told("started", 5001, "b"))
    again = row(
        told("created", 100, image="alpine"), told("failed", 121, error_code="TIMEOUT", finished=121.0), before=after
    )
    assert (again.phase, again.terminal, again.created, again.error_code) == (Phase.STARTED, False, 5000, None)
    assert again.image == "alpine"


def test_attempts_are_jobs_of_one_request() -> None:
    after = row(
        told("created", 100, attempt=1),
        told("started", 101, attempt=1, started=101.0),
        told("retrying", 110, attempt=1, error_code="OOM_KILLED"),
        told("queued", 110, "b", attempt=2, reason="retryDelay"),
        told("started", 120, "b", attempt=2, started=120.0, error_code=None),
    )
    assert (after.phase, after.attempt, after.job_uid) == (Phase.STARTED, 2, "b")
    assert (after.created, after.started, after.error_code) == (100, 101, None)
    late = advance(after, told("retrying", 110, attempt=1, error_code="OOM_KILLED"))
    assert (late.phase, late.error_code, late.attempt) == (Phase.STARTED, None, 2)


def test_a_rejected_request_has_a_row_without_a_job_until_it_gets_one() -> None:
    refused = row(told("rejected", 100, None, error_code="TOO_MANY_WAITING"))
    assert (refused.phase, refused.terminal, refused.job_uid) == (Phase.REJECTED, True, None)
    assert advance(refused, told("created", 90)).phase is Phase.CREATED
    taken = row(told("created", 90), told("rejected", 100, None, error_code="ID_REUSED"), before=refused)
    assert (taken.phase, taken.error_code) == (Phase.CREATED, None)


def test_a_schedule_begins_anew_too() -> None:
    over = row(told("scheduled", 100), told("unscheduled", 200))
    assert (over.phase, over.terminal) == (Phase.UNSCHEDULED, True)
    assert advance(over, told("scheduled", 300, "b")).phase is Phase.SCHEDULED


def test_a_sample_does_not_hide_what_a_request_waits_for() -> None:
    assert row(told("stalled", 100, reason="IMAGE_PULL"), told("progress", 110, peak_cpu=1.0)).phase is Phase.STALLED
    assert row(told("progress", 110, peak_cpu=1.0)).phase is Phase.STARTED


def test_statistics_count_beginnings_and_ends() -> None:
    found = added(
        [
            told("created", 7199, service="billing"),
            told("started", 7210, started=7210.0),
            told("progress", 7215, peak_cpu=0.5),
            told("succeeded", 7230, finished=7230.0, run=20.0),
        ]
    )
    assert found == [
        Stat(hour=3600, service="billing", phase=Phase.CREATED, n=1),
        None,
        None,
        Stat(hour=7200, service="billing", phase=Phase.SUCCEEDED, n=1, wait=11.0, run=20.0, cpu=10.0),
    ]
    assert added([told("rejected", 10, None)]) == [Stat(hour=0, service="", phase=Phase.REJECTED, n=1)]
    assert added([told("scheduled", 10)]) == [None]


@pytest.mark.parametrize("run", [-5.0, 1e300])
def test_seconds_that_nothing_takes_are_not_believed(run: float) -> None:
    (found,) = added([told("failed", 10, started=1e11, run=run, peak_cpu=1e300)])
    assert found is not None
    assert 0 <= found.run <= LONGEST
    assert 0 <= found.wait <= LONGEST
    assert 0 <= found.cpu < 1e15


ENTRIES = st.builds(
    told,
    st.sampled_from([str(phase) for phase in Phase]),
    st.integers(0, 50).map(float),
    st.sampled_from(["a", "b", None]),
    attempt=st.integers(1, 3),
    service=st.sampled_from([None, "billing"]),
    reason=st.sampled_from([None, "limit"]),
    finished=st.none() | st.integers(0, 50).map(float),
)


@given(st.lists(ENTRIES, min_size=1, max_size=12))
@ALWAYS
def test_whatever_comes_in_whatever_order(entries: list[Entry]) -> None:
    before: Request | None = None
    for entry in entries:
        after = advance(before, entry)
        assert after.terminal == (after.phase in LAST)
        assert after.updated >= entry.time or entry.phase is Phase.REJECTED
        if before is not None:
            assert after.updated >= before.updated
            assert after.pk == before.pk
            if before.terminal and after.job_uid == before.job_uid and before.job_uid is not None:
                assert (after.phase, after.finished) == (before.phase, before.finished)
        stat = stat_of(after, entry)
        assert (stat is not None) == (entry.phase in TERMINAL or entry.phase in (Phase.CREATED, Phase.REJECTED))
        assert asdict(after)["key"] == KEY
        before = after


@given(st.lists(ENTRIES, min_size=1, max_size=8), st.randoms())
@ALWAYS
def test_counts_do_not_depend_on_the_order(entries: list[Entry], random: Any) -> None:
    def counts(some: Sequence[Entry]) -> dict[tuple[int, Phase], int]:
        found: dict[tuple[int, Phase], int] = {}
        for stat in added(some):
            if stat is not None:
                found[stat.hour, stat.phase] = found.get((stat.hour, stat.phase), 0) + stat.n
        return found

    mixed = list(entries)
    random.shuffle(mixed)
    assert counts(mixed) == counts(entries)
