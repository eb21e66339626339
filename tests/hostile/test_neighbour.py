"""The measure of all attacks: what a neighbour sees of an installation that is left alone."""

import pytest

from tests.chaos.table import Rows
from tests.e2e.site import Site
from tests.hostile.neighbour import attacked

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]


async def test_requests_of_a_neighbour_are_done_in_time_while_nobody_attacks(on_nats: Site, rows: Rows) -> None:
    async with attacked(on_nats, rows) as scene, scene.neighbour("none", size="nothing", seconds=2):
        pass
    ((fault, _, _, outcome),) = rows.cells
    assert fault == "attack: none"
    assert "plain requests" in outcome
