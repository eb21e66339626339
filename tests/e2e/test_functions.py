"""Events of any producer and size run the function that the operator defined. Holds on any cluster and broker."""

import pytest

from tests.e2e.conftest import Stage, each_broker
from tests.e2e.functions import HEIGHT, SIZES, UPLOADED, WIDTH, Functions
from tests.e2e.observer import detail

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]


@each_broker
@pytest.mark.parametrize("event_id", SIZES)
async def test_an_event_in_binary_mode_runs_the_function_that_computes_from_its_data(
    stage: Stage, event_id: str
) -> None:
    found: Functions = await stage.scene("functions")
    ended = await found.observer.ended(f"measure/{event_id}")
    result = detail(ended)["result"]
    assert result["pixels"] == WIDTH * HEIGHT
    assert result["bytes"] > SIZES[event_id]
    assert (result["from"], result["type"]) == ("hall", UPLOADED)
    assert found.observer.phases(f"measure/{event_id}") == ["created", "started", "succeeded"]
    assert detail(ended)["service"] == "measure"
    assert dict(ended.get_attributes())["causationid"] == event_id
