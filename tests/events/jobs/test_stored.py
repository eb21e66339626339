"""JSON in annotations may have been written by anybody: what is unreadable counts as absent, whatever it is."""

import pytest

from events.jobs.annotation import read_stored
from events.jobs.attempts import read_retry
from events.jobs.queueing import MAX_DEPENDENCIES, NONE, read_outcomes, read_queueing
from events.jobs.starts import Start
from events.lifecycle.schedules import read_runs

DEEP = ["[" * 100_000, '{"x":' + "[" * 100_000, '{"a":' * 40_000, '{"key": {"a": ' + '{"b":' * 40_000]


@pytest.mark.parametrize("stored", DEEP, ids=["lists", "a list in a field", "objects", "objects in a known field"])
def test_what_nests_too_deeply_counts_as_absent(stored: str) -> None:
    assert read_queueing(stored) == NONE
    assert read_outcomes(stored) == {}
    assert read_retry(stored) is None
    assert read_runs(stored).count == 0
    assert read_stored(stored, Start) is None


def test_more_dependencies_than_a_request_may_have_are_not_believed() -> None:
    most = '{"dependencies": [' + ",".join(f'"{number}"' for number in range(MAX_DEPENDENCIES)) + "]}"
    assert len(read_queueing(most).dependencies) == MAX_DEPENDENCIES
    assert read_queueing(most.replace("]", ',"one more"]')) == NONE
