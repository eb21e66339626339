"""Calls that hang take few places if others would be answered, and all of them if nobody is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from handler.intake import slots as module
from handler.intake.slots import Lane, LaneSlots, NoSlot
from tests.patience import PATIENCE

HANGING: Lane = ("default", "hanging")
PLAIN: Lane = ("default", "plain")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.2)


def make_slots(*, well: bool, total: int = 16) -> LaneSlots:
    async def answer(_: str) -> bool:
        return well

    return LaneSlots(total, well=answer)


def others(count: int) -> list[Lane]:
    return [("default", f"other-{number}") for number in range(count)]


@asynccontextmanager
async def taken(slots: LaneSlots, count: int) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            stack.enter_context(await slots.place(HANGING))
        yield stack


async def test_the_first_calls_that_hang_leave_a_sixteenth_of_the_places_free() -> None:
    slots = make_slots(well=True)
    async with taken(slots, 15):
        with pytest.raises(NoSlot):
            await slots.place(HANGING)
        with await slots.place(PLAIN):
            pass


async def test_a_lane_that_is_known_to_hang_has_a_quarter_of_the_places() -> None:
    slots = make_slots(well=True)
    async with taken(slots, 4):
        await asyncio.sleep(module.SLOW_SECONDS + 0.01)
        with pytest.raises(NoSlot):
            await slots.place(HANGING)


async def test_while_nobody_is_answered_a_call_waits_for_its_place() -> None:
    slots = make_slots(well=False)
    async with taken(slots, 15) as stack:
        waiting = asyncio.create_task(taken(slots, 1).__aenter__())
        await asyncio.sleep(2 * module.SLOW_SECONDS)
        assert not waiting.done()
        await stack.aclose()
        await waiting


async def test_no_more_calls_are_under_way_than_there_are_places_and_those_who_wait_go_in_order() -> None:
    slots, under_way, most, order = make_slots(well=True, total=3), 0, 0, []

    async def call(number: int, lane: Lane) -> None:
        nonlocal under_way, most
        with await slots.place(lane):
            order.append(number)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1

    await asyncio.gather(*(call(number, lane) for number, lane in enumerate(others(30))))
    assert most == 3
    assert order == list(range(30))


async def test_who_is_cancelled_with_a_place_already_given_to_him_leaves_it_to_the_next() -> None:
    slots = make_slots(well=True, total=1)
    first = await slots.place(PLAIN)
    given, after = (asyncio.create_task(slots.place(PLAIN)) for _ in range(2))
    await asyncio.sleep(0)
    slots.free(first)
    given.cancel()
    with await asyncio.wait_for(after, PATIENCE):
        assert given.cancelled()


async def test_what_waits_goes_back_once_no_call_has_ended_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.2)
    slots = make_slots(well=False, total=2)
    hanging = [await slots.place(lane) for lane in others(2)]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    waiting = asyncio.create_task(slots.place(PLAIN))
    # One that ends shows that the others may, too.
    await asyncio.sleep(0.1)
    slots.free(hanging.pop())
    await waiting
    with pytest.raises(NoSlot) as caught:
        await slots.place(PLAIN)
    assert caught.value.delay == 0
    assert loop.time() - begun >= 0.3


async def test_who_finds_no_place_at_the_end_of_the_process_goes_back_at_once() -> None:
    slots = make_slots(well=True, total=2)
    for lane in others(2):
        await slots.place(lane)
    waiting = asyncio.create_task(slots.place(PLAIN))
    await asyncio.sleep(0)
    slots.leave()
    for late in (waiting, slots.place(PLAIN)):
        with pytest.raises(NoSlot):
            await asyncio.wait_for(late, PATIENCE)


async def test_a_single_place_is_waited_for_however_slow_the_calls_of_a_service_are() -> None:
    slots = make_slots(well=True, total=1)
    first = await slots.place(HANGING)
    waiting = asyncio.create_task(slots.place(HANGING))
    await asyncio.sleep(2 * module.SLOW_SECONDS)
    assert not waiting.done()
    slots.free(first)
    await asyncio.wait_for(waiting, PATIENCE)


async def test_each_who_waits_is_woken_at_the_end_of_his_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.2)
    slots = make_slots(well=False, total=2)
    for lane in others(2):
        await slots.place(lane)
    loop = asyncio.get_running_loop()

    async def refused() -> float:
        begun = loop.time()
        with pytest.raises(NoSlot):
            await slots.place(PLAIN)
        return loop.time() - begun

    first = asyncio.create_task(refused())
    await asyncio.sleep(0.1)
    second = asyncio.create_task(refused())
    async with asyncio.timeout(PATIENCE):
        assert min(await first, await second) >= 0.2
