"""What is wrong with a value is said in our own words, whatever it is and wherever it stands, and without the value."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from events.functions.functions import Function
from events.problems import explain, path_of
from events.request.request import JobRequest
from tests.events.walking import Place, fields, nested, places

ODD: list[Any] = [
    *(None, 1, -1, 8675309, 2**70, -(2**70), 1.5, float("nan"), float("inf"), True, "hunter2", "hunter2\x00", "\ud800"),
    *("hunter2" * 20_000, [], {}, [["hunter2"]], [None], [8675309], {"a": "hunter2"}, {"": {}}, {"a": ["hunter2"]}),
    *(b"hunter2", {1: "hunter2"}, {"matchKey": "hunter2"}, {"matchKey": 8675309, "matchValue": 8675309}, object()),
]
PLACES = [(root, place, model) for root in (JobRequest, Function) for place, model in places(root)]


@pytest.mark.parametrize(
    ("root", "place", "model"), PLACES, ids=lambda part: path_of(part) if isinstance(part, tuple) else part.__name__
)
def test_every_mistake_is_told_in_our_words_and_without_its_value(
    root: type[BaseModel], place: Place, model: type[BaseModel]
) -> None:
    for name in fields(model):
        for value in ODD:
            for told in mistakes(root, nested((*place, name), value)):
                assert not any(word in told for word in ("Input", "should", "is wrong", "hunter2", "8675309")), told


def mistakes(root: type[BaseModel], data: object) -> list[str]:
    try:
        root.model_validate(data)
    except ValidationError as error:
        return [str(one) for one in explain(error, root)]
    return []
