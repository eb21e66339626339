"""The record, the same on every database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.base import Cursor
from events.phases import Phase
from handler.history.base import Batch, Entry, Key, Moved, PodRun, Store, Wanted
from tests.handler.history.stores import KINDS, opened

BROKER = "nats"


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made:
        yield made


def entry(number: int, phase: Phase, *, time: float, **more: Any) -> Entry:
    changes = {"service": "billing", "job_uid": f"uid-{number}", **more.pop("changes", {})}
    key = Key(id=f"task-{number}", cause=f"cause-{number}", source="/shop")
    body = f'{{"id":"uid-{number}/{phase}"}}'.encode()
    return Entry(id=f"uid-{number}/{phase}", key=key, phase=phase, time=time, changes=changes, body=body, **more)


def batch(sequence: int, *entries: Entry, **more: Any) -> Batch:
    return Batch(cursor=Cursor("made", sequence, "digest"), entries=entries, **more)


async def test_keeps_what_happened_and_the_position_together(store: Store) -> None:
    first = batch(
        2,
        entry(1, Phase.CREATED, time=10.0, tags=("nightly", "eu")),
        entry(1, Phase.STARTED, time=12.0, pod=PodRun(uid="pod-1", name="task-1-x", namespace="jobs")),
    )
    async with store.writing() as writer:
        assert await writer.add(first, broker=BROKER, after=None) == 2
        assert await writer.add(batch(3, entry(1, Phase.SUCCEEDED, time=20.0)), broker=BROKER, after=first.cursor) == 1
    assert await store.position(BROKER) == Cursor("made", 3, "digest")
    (found,) = await store.find("task-1")
    assert (found.phase, found.created, found.updated, found.service) == (Phase.SUCCEEDED, 10.0, 20.0, "billing")
    assert await store.tags(found.pk) == ("nightly", "eu")
    assert [pod.name for pod in await store.pods(found.pk)] == ["task-1-x"]
    told = await store.events(found.pk)
    assert [(event.phase, event.time) for event in told] == [
        (Phase.CREATED, 10.0),
        (Phase.STARTED, 12.0),
        (Phase.SUCCEEDED, 20.0),
    ]
    assert told[0].body == b'{"id":"uid-1/created"}'
    assert await store.since(told[0].position) == told[1:]


async def test_knows_what_it_has_recorded(store: Store) -> None:
    events = [entry(1, Phase.CREATED, time=10.0), entry(1, Phase.SUCCEEDED, time=20.0)]
    async with store.writing() as writer:
        assert await writer.add(batch(2, *events, *events), broker=BROKER, after=None) == 2
        again = await store.stats()
        assert await writer.add(batch(4, *events), broker=BROKER, after=batch(2).cursor) == 0
    assert await store.stats() == again
    (found,) = await store.find("task-1")
    assert len(await store.events(found.pk)) == 2


async def test_refuses_a_batch_that_continues_another_position(store: Store) -> None:
    async with store.writing() as writer:
        await writer.add(batch(2, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=None)
        await store.settle_position(BROKER, None)
        with pytest.raises(Moved):
            await writer.add(batch(3, entry(2, Phase.CREATED, time=1.0)), broker=BROKER, after=batch(2).cursor)
    assert await store.position(BROKER) is None
    assert await store.find("task-2") == []


QUESTIONS = {
    "all": Wanted(),
    "phase": Wanted(phases=(Phase.FAILED,)),
    "phases": Wanted(phases=(Phase.FAILED, Phase.SUCCEEDED)),
    "service": Wanted(service="billing"),
    "tag": Wanted(tag="odd"),
    "service and phase": Wanted(service="billing", phases=(Phase.FAILED,)),
    "tag, service and phase": Wanted(tag="odd", service="billing", phases=(Phase.SUCCEEDED,)),
    "time": Wanted(newer=20.0, older=60.0),
    "beginning": Wanted(text="task-1"),
    "source": Wanted(source="/shop"),
}


@pytest.mark.parametrize("wanted", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_pages_have_each_request_once(store: Store, wanted: Wanted) -> None:
    phases = (Phase.CREATED, Phase.FAILED, Phase.SUCCEEDED)
    entries = [
        # Several of the same time.
        entry(
            number,
            phases[number % 3],
            time=float(number // 4 * 4),
            tags=("odd",) if number % 2 else (),
            changes={"service": "billing" if number % 5 else "other"},
        )
        for number in range(100)
    ]
    async with store.writing() as writer:
        await writer.add(batch(100, *entries), broker=BROKER, after=None)
    expected = sorted(
        (each for each in entries if _is_wanted(each, wanted)), key=lambda each: (each.time, each.id), reverse=True
    )
    found, token = [], None
    while True:
        page = await store.page(wanted, limit=7, after=token)
        found += [request.key.id for request in page.requests]
        times = [request.updated for request in page.requests]
        assert times == sorted(times, reverse=True)
        if (token := page.next) is None:
            break
        assert len(page.requests) == 7
    assert len(found) == len(expected)
    assert set(found) == {each.key.id for each in expected}


def _is_wanted(one: Entry, wanted: Wanted) -> bool:
    return all(
        (
            not wanted.phases or one.phase in wanted.phases,
            wanted.service in (None, one.changes["service"]),
            wanted.tag is None or wanted.tag in (one.tags or ()),
            one.key.id.startswith(wanted.text or ""),
            wanted.newer is None or one.time >= wanted.newer,
            wanted.older is None or one.time < wanted.older,
        )
    )
