"""Calls that hang take few places if others would be answered, and all of them if nobody is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from handler.intake import slots as module
from handler.intake.slots import Lane, LaneSlots, NoSlot

HANGING: Lane = ("default", "hanging")
PLAIN: Lane = ("default", "plain")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.02)


def make_slots(*, well: bool) -> LaneSlots:
    async def answer(_: str) -> bool:
        return well

    return LaneSlots(16, well=answer)


@asynccontextmanager
async def taken(slots: LaneSlots, count: int) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(slots.slot(HANGING))
        yield stack


async def test_the_first_calls_that_hang_leave_a_quarter_of_the_places_free() -> None:
    slots = make_slots(well=True)
    async with taken(slots, 12):
        with pytest.raises(NoSlot):
            async with slots.slot(HANGING):
                pass
        async with slots.slot(PLAIN):
            pass


async def test_a_lane_that_is_known_to_hang_has_a_quarter_of_the_places() -> None:
    slots = make_slots(well=True)
    async with taken(slots, 4):
        await asyncio.sleep(0.03)
        with pytest.raises(NoSlot):
            async with slots.slot(HANGING):
                pass


async def test_while_nobody_is_answered_a_call_waits_for_its_place() -> None:
    slots = make_slots(well=False)
    async with taken(slots, 12) as stack:
        waiting = asyncio.create_task(taken(slots, 1).__aenter__())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await stack.aclose()
        await waiting
