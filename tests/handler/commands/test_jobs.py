"""What `get` says of a Job, from what Kubernetes shows of it."""

from typing import Any

import pytest

from events.jobs.observed import Condition, Verdict
from events.phases import Phase
from handler.commands.showing.phases import phase_text
from handler.operations.jobs import Found
from handler.operations.sentences import sentence
from tests.events.samples import NOON, make_job, running

CANCELLED = Verdict(phase=Phase.CANCELLED, error_code="CANCELLED", message="asked for", at=NOON).to_annotation()


def condition(type_: str, message: str = "") -> Condition:
    return Condition(type=type_, status=True, reason="BackoffLimitExceeded", message=message, at=NOON + 9)


@pytest.mark.parametrize(
    ("fields", "phase", "said"),
    [
        ({}, "started", "pod p1 on node-1"),
        ({"verdict": CANCELLED}, "ending", "CANCELLED: asked for"),
        ({"verdict": CANCELLED, "suspend": True, "queued": "created"}, "ending", "CANCELLED: asked for"),
        ({"deleted": NOON + 5}, "ending", "the Job is being deleted"),
        ({"conditions": (condition("FailureTarget", "too often"),)}, "ending", "too often"),
        ({"conditions": (condition("FailureTarget"),)}, "ending", "BackoffLimitExceeded"),
        ({"conditions": (condition("SuccessCriteriaMet", "enough"),)}, "ending", "enough"),
        ({"conditions": (condition("Complete"),)}, "succeeded", "8 s"),
        ({"conditions": (condition("Failed", "no"),), "verdict": CANCELLED}, "cancelled", "CANCELLED: asked for"),
    ],
)
def test_a_job_whose_end_is_certain_is_ending_until_it_is_over(fields: dict[str, Any], phase: str, said: str) -> None:
    found = Found(job=make_job(**fields), pods=[running()])
    assert found.phase == phase
    assert sentence(found.phase, found.detail) == said
    assert phase_text(found.phase).style
