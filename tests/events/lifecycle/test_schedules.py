"""What a CronJob remembers of its runs survives repeats unchanged; events about a schedule say what Kubernetes does."""

import pytest
from hypothesis import given, strategies as st

from events.cloudevent.timestamp import format_epoch
from events.jobs.observed import Job
from events.lifecycle.events import lifecycle_event, schedule_event
from events.lifecycle.schedules import RECENT, Runs, next_run, read_runs, run_id, run_time, scheduled, unscheduled
from events.lifecycle.transitions import transitions
from events.phases import Phase
from tests.events.contract.declared import undeclared
from tests.events.samples import NOON, make_job, make_schedule
from tests.handler.relay import detail

TIMES = [format_epoch(NOON + 60 * minute) for minute in range(60)]


def new_run(uid: str = "uid-1", *, minute: int = 0) -> Job:
    return make_job(uid=uid, run="new", has_finalizer=False, scheduled_at=NOON + 60 * minute)


def ended(times: list[str], phase: Phase = Phase.SUCCEEDED, **fields: object) -> Runs:
    runs = Runs(**fields)  # type: ignore[arg-type]
    for time in times:
        runs = runs.ending(time, phase, at=NOON, held=())
    return runs


def test_a_run_is_named_by_its_schedule_and_its_time_in_utc() -> None:
    assert run_id("s", run_time(new_run(minute=1))) == "s@2026-11-21T12:01:00Z"


def test_the_time_of_a_run_made_by_hand_is_that_of_its_creation() -> None:
    assert run_time(make_job(run="new", has_finalizer=False)) == "2026-11-21T12:00:00Z"


def test_each_run_counts_unless_it_was_lost() -> None:
    first = Runs().counting(new_run("a"), lost=False)
    second = first.counting(new_run("b", minute=1), lost=False)
    assert (first.count, first.last, first.job) == (1, TIMES[0], "a")
    assert (second.count, second.last, second.job) == (2, TIMES[1], "b")
    assert second.counting(new_run("c", minute=2), lost=True).count == 2


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED])
def test_an_end_counts_once_however_often_it_is_noted(phase: Phase) -> None:
    runs = ended([TIMES[0]], phase)
    assert getattr(runs, phase) == 1
    assert runs.recent == {TIMES[0]: phase}
    assert runs.ending(TIMES[0], phase, at=NOON + 5, held=()) == runs


def test_the_last_ends_are_remembered_and_those_that_may_be_published_again() -> None:
    runs = Runs(last=TIMES[1])
    for time in TIMES:
        runs = runs.ending(time, Phase.SUCCEEDED, at=NOON, held={TIMES[0]})
    assert list(runs.recent) == [TIMES[0], TIMES[1], *TIMES[-RECENT:]]
    assert runs.succeeded == len(TIMES)


def test_the_last_end_is_the_latest_by_time() -> None:
    runs = Runs().ending(TIMES[1], Phase.FAILED, at=NOON + 9, held=())
    assert runs.ending(TIMES[0], Phase.FAILED, at=NOON + 3, held=()).ended_at == format_epoch(NOON + 9)


@given(
    st.builds(
        Runs,
        count=st.integers(0, 10**6),
        last=st.none() | st.sampled_from(TIMES),
        job=st.none() | st.text(max_size=5),
        succeeded=st.integers(0, 10**6),
        recent=st.dictionaries(st.sampled_from(TIMES), st.sampled_from([*map(str, Phase)])),
    )
)
def test_what_is_remembered_of_runs_is_read_as_it_was_written(runs: Runs) -> None:
    assert read_runs(runs.to_annotation()) == runs


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"count": "many"}', "\x00"])
def test_an_unreadable_annotation_counts_as_no_runs(text: str | None) -> None:
    assert read_runs(text) == Runs()


def test_the_stored_format_does_not_change() -> None:
    runs = Runs().counting(new_run(), lost=False).ending(TIMES[0], Phase.FAILED, at=NOON + 2, held=())
    assert runs.to_annotation() == (
        '{"count":1,"last":"2026-11-21T12:00:00Z","job":"uid-1","failed":1,"endedAt":"2026-11-21T12:00:02Z",'
        '"recent":{"2026-11-21T12:00:00Z":"failed"}}'
    )


def test_the_next_run_is_by_the_clocks_of_the_time_zone() -> None:
    assert next_run(make_schedule(), after=NOON) == "2026-11-22T03:00:00Z"
    assert next_run(make_schedule(time_zone="Asia/Tokyo"), after=NOON) == "2026-11-21T18:00:00Z"
    assert next_run(make_schedule(cron="0 0 30 2 *"), after=NOON) is None


@pytest.mark.parametrize("fields", [{"cron": "whenever"}, {"time_zone": "Mars/Phobos"}])
def test_a_schedule_that_only_kubernetes_understands_has_no_next_run(fields: dict[str, str]) -> None:
    schedule = make_schedule(**fields)
    assert next_run(schedule, after=NOON) is None
    assert "nextRun" not in scheduled(schedule).detail


def test_events_of_a_schedule_are_about_its_cron_job() -> None:
    schedule = make_schedule(service="mail", tags='["t"]', max_runs=3, runs='{"count":2}', deleted=NOON + 7)
    begin, end = (schedule_event(schedule, transition) for transition in (scheduled(schedule), unscheduled(schedule)))
    assert (begin.get_id(), end.get_id()) == ("uid-s/scheduled", "uid-s/unscheduled")
    assert {event.get_source() for event in (begin, end)} == {"/namespaces/default/cronjobs/mail-abc"}
    assert {event.get_subject() for event in (begin, end)} == {"s"}
    assert begin.get_extension("causationid") == "e1"
    moment = end.get_time()
    assert moment is not None
    assert moment.timestamp() == NOON + 7
    for event in (begin, end):
        assert undeclared(event.get_type(), event.get_data()) == []
    assert end.get_data() == {
        "id": "s",
        "status": None,
        "detail": {"service": "mail", "phase": "unscheduled", "schedule": "0 3 * * *", "runs": 2, "tags": ["t"]},
    }


def test_a_schedule_that_reached_its_maximum_ended_with_its_last_run() -> None:
    runs = ended([TIMES[0]], count=1).to_annotation()
    before = make_schedule(max_runs=1, runs=runs)
    assert unscheduled(before).time == NOON
    assert unscheduled(make_schedule(max_runs=1, runs=runs, deleted=NOON + 99)) == unscheduled(before)


def test_each_event_of_a_run_says_for_which_time_it_was_scheduled() -> None:
    job = make_job(run=TIMES[1])
    assert [detail(lifecycle_event(job, transition))["scheduledFor"] for transition in transitions(job, [])] == [
        TIMES[1]
    ]
    job = make_job()
    assert all("scheduledFor" not in detail(lifecycle_event(job, transition)) for transition in transitions(job, []))
