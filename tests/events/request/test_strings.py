"""A string that Linux starts no program with is refused, and every other is not."""

import subprocess
from typing import Any

import pytest

from events.problems import MAX_ERRORS, InvalidRequest
from events.request.request import parse_request
from events.request.strings import MAX_STRING, too_long
from tests.events.samples import make_request_event


def starts(*, env: dict[str, str] | None = None, args: tuple[str, ...] = ()) -> bool:
    try:
        subprocess.run(["/bin/true", *args], env=env or {}, check=True)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_the_limit_is_that_of_linux(letter: str, over: int) -> None:
    size = len(letter.encode())
    value = letter * ((MAX_STRING - len("ABC=") - 1) // size) + "y" * ((MAX_STRING - len("ABC=") - 1) % size + over)
    argument = letter * ((MAX_STRING - 1) // size) + "y" * ((MAX_STRING - 1) % size + over)
    assert starts(env={"ABC": value}) is (not over)
    assert starts(args=(argument,)) is (not over)
    container = {"env": [{"name": "ABC", "value": value}], "command": [argument], "args": [argument]}
    assert [error.path for error in too_long(container)] == ["env[0].value", "command[0]", "args[0]"] * over


LARGE = {"name": "A", "value": "x" * 70_000}


@pytest.mark.parametrize(
    ("container", "paths"),
    [
        ({"env": [LARGE, {"name": "B", "value": "$(A)$(A)"}]}, ["env[1].value"]),
        ({"env": [LARGE, {"name": "B", "value": "$(A)$$(A)"}]}, []),
        ({"env": [{"name": "B", "value": "$(A)$(A)"}, LARGE]}, []),
        ({"env": [LARGE, {"name": "A", "value": "y"}], "args": ["$(A)$(A)"]}, []),
        ({"env": [LARGE], "args": ["$(A)", "$(A)$(A)"]}, ["args[1]"]),
        ({"env": [LARGE], "command": ["sh", "$(A) $(A"]}, []),
        ({"args": ["$$" * 100_000]}, []),
        ({"args": ["$(UNKNOWN)" * 20_000]}, []),
        ({"env": [{"name": "A", "valueFrom": {}}], "args": ["$(A)" * 40_000]}, []),
        ({"env": [{"name": "A", "value": "x" * MAX_STRING}], "args": ["$(A)$(A)"]}, ["env[0].value"]),
        ({"env": [{"name": "A", "value": "$(A)x"}]}, []),
        ({"env": 7, "command": "x" * MAX_STRING, "args": [7, None]}, []),
        ({"env": ["x", {"name": 7}, {"value": "x"}, {"name": "A", "value": 7}, {"name": "A"}]}, []),
    ],
)
def test_variables_count_as_kubernetes_puts_them_in(container: dict[str, Any], paths: list[str]) -> None:
    assert [error.path for error in too_long(container)] == paths


def test_however_many_are_too_long_the_errors_are_bounded() -> None:
    doubled = [{"name": "A", "value": "x" * 70_000}, *({"name": f"B{n}", "value": "$(A)$(A)"} for n in range(500))]
    assert len(too_long({"env": doubled})) == MAX_ERRORS


def test_variables_that_grow_from_each_other_are_counted_in_no_time() -> None:
    grown = [{"name": "N0", "value": "x" * 1000}]
    grown += [{"name": f"N{n}", "value": f"$(N{n - 1})$(N{n - 1})"} for n in range(1, 20_000)]
    assert [error.path for error in too_long({"env": grown})] == ["env[8].value"], "what follows from it is not told"


def test_a_request_with_such_strings_is_refused_with_each_place_and_the_limit() -> None:
    long = "x" * MAX_STRING
    job = {"image": "a", "env": [{"name": "A", "value": long}], "command": ["sh", long], "args": [long]}
    with pytest.raises(InvalidRequest) as caught:
        parse_request(make_request_event({"job": job, "failover": {"job": {"image": "b", "args": [long]}}}))
    errors = {error.path: error for error in caught.value.errors}
    assert {"job.env[0].value", "job.command[1]", "job.args[0]", "failover.job.args[0]"} <= set(errors)
    assert all("131072 bytes" in (errors[path].allowed or "") for path in errors if path != "failover")
    assert long not in str(caught.value)
