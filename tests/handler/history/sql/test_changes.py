"""What changed since a position, and whether that is asked for: as `since` and as pages tell it."""

from collections.abc import AsyncIterator

import pytest

from events.phases import Phase
from handler.history.base import Store, Wanted
from handler.history.rows import advance
from handler.history.sql.matching import Matcher
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import KINDS, opened

QUESTIONS = (
    Wanted(),
    Wanted(phases=(Phase.FAILED, Phase.SUCCEEDED)),
    Wanted(service="billing"),
    Wanted(tag="odd"),
    Wanted(tag="x" * 2000),
    Wanted(newer=20.0, older=60.0),
    Wanted(text="task-1"),
    Wanted(id="task-11"),
    Wanted(source="/shop"),
    Wanted(source="/elsewhere"),
    Wanted(tag="odd", service="billing", phases=(Phase.SUCCEEDED,), newer=8.0, text="task-"),
)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made:
        yield made


async def filled(store: Store) -> None:
    phases = (Phase.CREATED, Phase.FAILED, Phase.SUCCEEDED)
    entries = [
        entry(
            number,
            phases[number % 3],
            time=float(number // 4 * 4),
            tags=("odd", "x" * 2000) if number % 2 else (),
            changes={"service": "billing" if number % 5 else "other"},
        )
        for number in range(60)
    ]
    later = [entry(number, Phase.SUCCEEDED, time=70.0, tags=()) for number in (3, 5)]
    async with store.writing() as writer:
        await writer.add(batch(100, *entries, *later), broker=BROKER, after=None)


async def test_tells_what_changed_without_the_events(store: Store) -> None:
    await filled(store)
    told = await store.since(0)
    changes = await store.changes(0)
    assert [(one.position, one.request, one.event) for one in changes] == [
        (one.position, one.request, one.id) for one in told
    ]
    assert await store.changes(told[9].position, limit=5) == changes[10:15]
    assert await store.changes(told[-1].position) == []
    assert await store.changes(2**70) == []


async def test_finds_requests_by_their_numbers(store: Store) -> None:
    await filled(store)
    numbers = [one.request for one in await store.changes(0, limit=7)]
    found = {one.request.pk: one for one in await store.requests([*numbers, 10_000])}
    assert sorted(found) == sorted(numbers)
    assert [found[number].request for number in numbers] == [await store.request(number) for number in numbers]
    assert await store.requests([]) == []
    assert await store.requests([2**70]) == []


async def test_matches_what_pages_show(store: Store) -> None:
    await filled(store)
    everything = await store.requests([one.request for one in await store.changes(0)])
    for wanted in QUESTIONS:
        page = await store.page(wanted, limit=200)
        matcher = Matcher(wanted)
        matched = [one.request for one in everything if matcher.matches(one)]
        assert sorted(one.pk for one in matched) == sorted(one.pk for one in page.requests)
        assert all(matcher.may_match(one) for one in matched)


def test_what_changes_of_a_request_may_match_later() -> None:
    one = entry(1, Phase.CREATED, time=1.0)
    request = advance(None, one)
    assert Matcher(Wanted(phases=(Phase.FAILED,), service="other", tag="odd", newer=9.0)).may_match(request)
    assert not Matcher(Wanted(source="/elsewhere")).may_match(request)
