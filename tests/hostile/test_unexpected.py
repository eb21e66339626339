"""Values that nobody expects: each is refused, and none is handled for ever."""

from typing import Any

import pytest

from tests.chaos.table import Rows
from tests.e2e.site import Site
from tests.hostile.neighbour import attacked

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

DIGITS = 100_000


@pytest.mark.long
async def test_numbers_of_any_length(on_nats: Site, rows: Rows) -> None:
    strange: list[dict[str, Any]] = [
        {"schedule": f"@every {'1' * DIGITS}s"},
        {"schedule": f"{'1' * DIGITS} * * * *"},
        {"job": {"resources": {"limits": {"memory": "1e999"}}}},
        {"job": {"resources": {"limits": {"cpu": "9" * DIGITS}}}},
        {"priority": int("1" * 4000)},
    ]
    async with attacked(on_nats, rows) as scene, scene.neighbour("numbers of any length", size=f"{DIGITS} digits"):
        for number, fields in enumerate(strange):
            await scene.observer.publish(scene.request(f"strange-{number}", **fields))
        for number in range(len(strange)):
            rejected = await scene.observer.reached(f"strange-{number}", "rejected")
            data: Any = rejected.get_data()
            assert data["detail"]["error"]["errorCode"] == "INVALID_REQUEST"
