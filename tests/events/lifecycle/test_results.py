"""What a termination message is: a result, the end of a log, or why the container could not be run."""

from typing import Any

import orjson
import pytest

from events.jobs.pods import Container
from events.lifecycle.results import LOG_BYTES, Left, left, result_of
from tests.events.samples import NOON, make_container, succeeded

JSON = '{"rows": 3}'


def ended(message: str | None, *, exit_code: int = 1, **fields: Any) -> Container:
    return make_container(started=NOON, finished=NOON + 1, exit_code=exit_code, message=message, **fields)


@pytest.mark.parametrize(
    ("container", "log", "found"),
    [
        (ended("42 rows\n", exit_code=0), None, Left(result="42 rows")),
        (ended(JSON), None, Left(result=JSON)),
        (ended(JSON), "Traceback", Left(result=JSON, log="Traceback")),
        (ended(JSON), "", Left(result=JSON)),
        (ended(f"{JSON}\n"), f"{JSON}\n", Left(log=f"{JSON}\n")),
        (ended("Traceback\n"), None, Left(log="Traceback\n")),
        (ended("42 rows"), "Traceback", Left(result="42 rows", log="Traceback")),
        (ended("42 rows", may_be_log=False), None, Left(result="42 rows")),
        (ended("x" * (LOG_BYTES + 1)), None, Left(result="x" * (LOG_BYTES + 1))),
        (ended("\ufffd" * LOG_BYTES), None, Left(log="\ufffd" * LOG_BYTES)),
        (ended("3"), None, Left(log="3")),
        (ended(None), None, Left()),
        (ended(None), "Traceback", Left(log="Traceback")),
        (make_container(exit_code=128, reason="StartError", message="no such file"), None, Left()),
    ],
)
def test_a_message_is_a_result_or_the_end_of_the_log(container: Container, log: str | None, found: Left) -> None:
    assert left(container, log=log) == found


def test_a_result_that_may_be_cut_is_text_unless_it_is_structured() -> None:
    assert result_of(succeeded(message="999", cut=True)) == {"result": "999", "resultTruncated": True}
    assert result_of(succeeded(message="[1, 2]  ", cut=True)) == {"result": [1, 2]}


@pytest.mark.parametrize("text", ["123456789012345678901234567890", "1.10", '{"id":18446744073709551616,"a":[1E3]}'])
def test_a_result_has_its_numbers_as_written(text: str) -> None:
    assert orjson.dumps(result_of(succeeded(message=text))["result"]).decode() == text
