"""Claims about going on in the log after a place that was noted, on every broker."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.base import Broker, Cursor, Kind, Record, Topic
from tests.adapters.harness import Harness, make_event, records
from tests.patience import PATIENCE

OLD = [f"old{number}" for number in range(5)]


async def tell(broker: Broker, names: list[str]) -> None:
    for name in names:
        await broker.publish(Topic(Kind.LIFECYCLE, f"s.{name}.created"), make_event(id=name))


async def noted(broker: Broker) -> list[Record]:
    await tell(broker, OLD)
    return await records(broker, Kind.LIFECYCLE)


async def after(broker: Broker, place: Cursor) -> list[Record]:
    async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE, after=place) as history:
        return [record async for record in history]


async def read(history: AsyncIterator[Record], count: int) -> list[Record]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(history) for _ in range(count)]


def names(found: list[Record]) -> list[str]:
    return [record.topic.key.split(".")[1] for record in found]


async def test_each_place_is_followed_by_exactly_what_was_stored_after_it(harness: Harness) -> None:
    found = await noted(harness.broker)
    async with harness.member() as other:
        for number, record in enumerate(found):
            assert await after(other, record.cursor) == found[number + 1 :]


async def test_following_from_the_last_record_brings_only_what_comes(broker: Broker) -> None:
    found = await noted(broker)
    async with broker.history(Kind.LIFECYCLE, follow=True, after=found[-1].cursor) as history:
        await tell(broker, ["new0", "new1"])
        assert names(await read(history, 2)) == ["new0", "new1"]


async def test_quiet_log_repeats_nothing_to_who_follows_from_its_last_record(broker: Broker) -> None:
    found = await noted(broker)
    async with broker.history(Kind.LIFECYCLE, follow=True, after=found[-1].cursor) as history:
        coming = asyncio.ensure_future(anext(history))
        # Longer than any adapter waits before it looks whether the log is another one.
        await asyncio.wait([coming], timeout=4.5)
        assert not coming.done()
        await tell(broker, ["new"])
        async with asyncio.timeout(PATIENCE):
            assert names([await coming]) == ["new"]


@pytest.mark.parametrize("made", [0, 2, 9])
async def test_log_made_anew_is_read_from_its_first_record(harness: Harness, made: int) -> None:
    broker = harness.broker
    found = await noted(broker)
    await harness.remake()
    new = [f"new{number}" for number in range(made)]
    await tell(broker, new)
    place = found[3].cursor
    assert names(await after(broker, place)) == new
    async with broker.history(Kind.LIFECYCLE, follow=True, after=place) as history:
        assert names(await read(history, made)) == new
        await tell(broker, ["later"])
        (later,) = await read(history, 1)
    assert names([later]) == ["later"]
    assert await after(broker, later.cursor) == []


@pytest.mark.parametrize("made", [1, 9])
async def test_log_made_anew_under_a_follower_is_read_from_its_first_record(harness: Harness, made: int) -> None:
    broker = harness.broker
    found = await noted(broker)
    async with broker.history(Kind.LIFECYCLE, follow=True, after=found[1].cursor) as history:
        assert await read(history, 3) == found[2:]
        await harness.remake()
        new = [f"new{number}" for number in range(made)]
        await tell(broker, new)
        seen = await read(history, made)
    assert names(seen) == new
    for number, record in enumerate(seen):
        assert names(await after(broker, record.cursor)) == new[number + 1 :]


FORGED: list[dict[str, Any]] = [
    {"sequence": -1},
    {"sequence": -(1 << 80)},
    {"sequence": (1 << 63) - 1},
    {"sequence": 1 << 63},
    {"sequence": 1 << 200},
    {"sequence": 1000},
    {"digest": ""},
    {"digest": "\ud800" * 100},
    {"stream": "\x00é" * 1000},
    {"stream": "2020-01-01T00:00:00Z"},
]


async def test_place_that_is_not_of_this_log_means_its_first_record(broker: Broker) -> None:
    found = await noted(broker)

    async def come(place: Cursor) -> None:
        assert await after(broker, place) == found
        async with broker.history(Kind.LIFECYCLE, follow=True, after=place) as history:
            assert await read(history, len(found)) == found

    await asyncio.gather(*(come(dataclasses.replace(found[2].cursor, **change)) for change in FORGED))


async def test_keys_select_after_a_place(broker: Broker) -> None:
    found = await noted(broker)
    async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE, key="*.old4.*", after=found[1].cursor) as some:
        assert [record async for record in some] == found[4:]


async def test_place_makes_no_sense_with_new_records_only_or_among_dead_letters(broker: Broker) -> None:
    (*_, last) = await noted(broker)
    with pytest.raises(ValueError, match="new_only"):
        async with broker.history(Kind.LIFECYCLE, new_only=True, after=last.cursor):
            pass
    with pytest.raises(ValueError, match="dead"):
        async with broker.history(Kind.DEAD, after=last.cursor):
            pass


async def test_reader_that_goes_on_again_and_again_while_events_come_reads_each_once(broker: Broker) -> None:
    wanted = [f"n{number}" for number in range(120)]
    seen: list[str] = []
    place: Cursor | None = None
    publishing = asyncio.create_task(tell(broker, wanted))
    for count in (1, 7, 2, 30, 1, 29, 50):
        async with broker.history(Kind.LIFECYCLE, follow=True, after=place) as history:
            found = await read(history, count)
        seen += names(found)
        place = found[-1].cursor
    await publishing
    assert seen == wanted
