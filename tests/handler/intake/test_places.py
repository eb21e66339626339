"""Calls that hang take few places if others would be answered, and all of them if nobody is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from handler.intake import places as module
from handler.intake.places import Lane, NoPlace, Places

HANGING: Lane = ("default", "hanging")
PLAIN: Lane = ("default", "plain")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.02)


def make_places(*, well: bool) -> Places:
    async def answer(_: str) -> bool:
        return well

    return Places(16, well=answer)


@asynccontextmanager
async def taken(places: Places, count: int) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(places.place(HANGING))
        yield stack


async def test_the_first_calls_that_hang_leave_a_quarter_of_the_places_free() -> None:
    places = make_places(well=True)
    async with taken(places, 12):
        with pytest.raises(NoPlace):
            async with places.place(HANGING):
                pass
        async with places.place(PLAIN):
            pass


async def test_a_lane_that_is_known_to_hang_has_a_quarter_of_the_places() -> None:
    places = make_places(well=True)
    async with taken(places, 4):
        await asyncio.sleep(0.03)
        with pytest.raises(NoPlace):
            async with places.place(HANGING):
                pass


async def test_while_nobody_is_answered_a_call_waits_for_its_place() -> None:
    places = make_places(well=False)
    async with taken(places, 12) as stack:
        waiting = asyncio.create_task(taken(places, 1).__aenter__())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await stack.aclose()
        await waiting
