"""Observed Jobs: what their fields say together, and how little memory they take."""

import tracemalloc

import pytest

from events.jobs.observed import Verdict
from events.phases import Phase
from tests.events.samples import NOON, condition, make_job, make_pod


def test_condition_is_found_only_while_it_is_true() -> None:
    job = make_job(conditions=(condition("Suspended", at=1, status=False), condition("Complete", at=2)))
    assert job.condition("Suspended") is None
    assert job.condition("Failed") is None
    complete = job.condition("Complete")
    assert complete is not None
    assert complete.at == NOON + 2


@pytest.mark.parametrize(
    ("conditions", "finished"),
    [
        ((), False),
        (("FailureTarget",), False),
        (("SuccessCriteriaMet",), False),
        (("Suspended",), False),
        (("FailureTarget", "Failed"), True),
        (("Complete",), True),
    ],
)
def test_job_is_finished_once_complete_or_failed(conditions: tuple[str, ...], finished: bool) -> None:
    assert make_job(conditions=tuple(condition(type_, at=1) for type_ in conditions)).finished is finished


def test_verdict_is_read_as_it_was_written() -> None:
    verdict = Verdict(phase=Phase.CANCELLED, error_code="CANCELLED", message='by "me"', at=NOON)
    text = verdict.to_annotation()
    assert text == ('{"phase":"cancelled","errorCode":"CANCELLED","message":"by \\"me\\"","at":"2026-11-21T12:00:00Z"}')
    assert Verdict.from_annotation(text) == verdict
    assert make_job(verdict=text).verdict_of() == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"failed"',
        "{}",
        '{"phase":"nothing","errorCode":"X","message":"","at":"2026-11-21T12:00:00Z"}',
        '{"phase":"failed","errorCode":"X","message":"","at":"soon"}',
        '{"phase":"failed","errorCode":"X","message":"","at":5}',
        '{"phase":["failed"],"errorCode":"X","message":"","at":"2026-11-21T12:00:00Z"}',
    ],
)
def test_unreadable_verdict_counts_as_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Verdict.from_annotation(text)
    assert make_job(verdict=text).verdict_of() is None


def test_job_without_verdict_has_none() -> None:
    assert make_job().verdict_of() is None


def test_job_with_its_pod_takes_less_than_two_kilobytes() -> None:
    def observe(number: int) -> tuple[object, object]:
        uid = f"c8076eca-0f3b-4c10-9f73-{number:012}"
        job = make_job(
            name=f"job-{number:012}",
            uid=uid,
            version=number,
            request_id=f"request-{number}",
            context=f'{{"id":"{uid}","type":"dev.jobrelay.job.requested","time":"2026-11-21T12:00:00Z"}}',
            conditions=(condition("Complete", at=number, reason="CompletionsReached", message=f"reached {number}"),),
        )
        return job, make_pod(f"job-{number:012}-abcde", job_uid=job.uid, started=NOON + number, finished=NOON + number)

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    observed = [observe(number) for number in range(1000)]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / len(observed) < 2048
