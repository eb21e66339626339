"""The record, the same on every database."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import select

from adapters.base import Cursor
from events.phases import Phase
from handler.history.base import (
    Action,
    BadCursor,
    Entry,
    KeptLog,
    Key,
    LogState,
    Moved,
    PodRun,
    Stat,
    Store,
    Unreadable,
    Wanted,
)
from handler.history.sql import store as stores, trimming, writing
from handler.history.sql.store import SqlStore
from handler.history.sql.tables import UNREADABLE_BYTES, unreadable
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import KINDS, MEMORY, SQLITE, opened


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made:
        yield made


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


async def test_a_later_event_says_no_tags_or_others(store: Store) -> None:
    async with store.writing() as writer:
        first = batch(1, entry(1, Phase.CREATED, time=1.0, tags=("a", "b", "a")))
        await writer.add(first, broker=BROKER, after=None)
        second = batch(2, entry(1, Phase.STARTED, time=2.0))
        await writer.add(second, broker=BROKER, after=first.cursor)
        (found,) = (await store.page(Wanted(tag="b"), limit=5)).requests
        assert await store.tags(found.pk) == ("a", "b")
        await writer.add(batch(3, entry(1, Phase.FAILED, time=3.0, tags=("c",))), broker=BROKER, after=second.cursor)
    assert await store.tags(found.pk) == ("c",)
    assert (await store.page(Wanted(tag="b"), limit=5)).requests == []
    assert [each.pk for each in (await store.page(Wanted(tag="c", phases=(Phase.FAILED,)), limit=5)).requests] == [
        found.pk
    ]


async def test_counts_each_event_once(store: Store) -> None:
    async with store.writing() as writer:
        many = [entry(number, Phase.CREATED, time=3600.0 + number) for number in range(3)]
        await writer.add(batch(3, *many), broker=BROKER, after=None)
        ends = [entry(number, Phase.FAILED, time=3700.0 + number) for number in range(2)]
        await writer.add(batch(5, *many, *ends), broker=BROKER, after=batch(3).cursor)
    found = await store.stats()
    assert [(stat.hour, stat.service, stat.phase, stat.n) for stat in found] == [
        (3600, "billing", Phase.CREATED, 3),
        (3600, "billing", Phase.FAILED, 2),
    ]
    assert await store.stats(newer=3601.0) == []
    assert await store.stats(older=3600.0) == []
    assert await store.stats(newer=3600.0, older=3601.0) == found
    assert isinstance(found[0], Stat)


async def test_keeps_answers_to_control_events_once(store: Store) -> None:
    actions = [
        Action(
            id=f"uid-{number}", time=float(number), actor="ada", verb="cancel", request_id="task", outcome="accepted"
        )
        for number in range(4)
    ]
    async with store.writing() as writer:
        await writer.add(batch(4, actions=[*actions, *actions]), broker=BROKER, after=None)
        await writer.add(batch(5, actions=actions[:1]), broker=BROKER, after=batch(4).cursor)
    assert (await store.actions()).actions == actions[::-1]
    assert await store.action(["uid-9", "uid-2"]) == actions[2]
    assert await store.action(["uid-9", "uid\0-2"]) is None


async def test_keeps_the_pods_of_a_request_and_what_is_known_of_them(store: Store) -> None:
    key = entry(1, Phase.CREATED, time=1.0).key
    seen = PodRun(uid="pod-1", name="task-1-x", namespace="jobs", node="node-1", started=5.0, index=0)
    async with store.writing() as writer:
        await writer.keep_pod(key, seen, created=4.0)
        ended = PodRun(uid="pod-1", name="task-1-x", namespace="jobs", finished=9.0, exit_code=3, reason="Error")
        await writer.keep_pod(key, ended, created=4.0)
        (found,) = await store.find(key.id)
        assert (found.created, found.phase) == (4.0, Phase.CREATED)
        assert await writer.add(batch(1, entry(1, Phase.CREATED, time=4.0)), broker=BROKER, after=None) == 1
    (again,) = await store.find(key.id)
    assert (again.pk, again.service) == (found.pk, "billing")
    (pod,) = await store.pods(found.pk)
    assert (pod.node, pod.started, pod.index, pod.finished, pod.exit_code) == ("node-1", 5.0, 0, 9.0, 3)


async def test_keeps_the_first_event_that_asked_as_long_as_its_request(store: Store) -> None:
    key, pod = entry(1, Phase.CREATED, time=1.0).key, PodRun(uid="pod-1", name="x", namespace="jobs")
    async with store.writing() as writer:
        await writer.keep_pod(key, pod, created=1.0)
        (found,) = await store.find(key.id)
        assert await store.asked(found.pk) is None
        for body in (b'{"id": "\x00\xff"}', b"another", None):
            await writer.keep_pod(key, pod, created=1.0, asked=body)
            assert await store.asked(found.pk) == b'{"id": "\x00\xff"}'
        ends = [entry(1, phase, time=2.0) for phase in (Phase.CREATED, Phase.SUCCEEDED)]
        await writer.add(batch(2, *ends), broker=BROKER, after=None)
        assert await store.asked(found.pk)
        assert (await store.prune(requests_before=3.0, logs_before=None)).requests == 1
    assert await store.asked(found.pk) is None


async def test_keeps_logs_in_chunks(store: Store) -> None:
    kept = KeptLog(pod="pod-1", container="main", state=LogState.GROWING, bytes=6, chunks=(0, 1), read=7.0)
    async with store.writing() as writer:
        await writer.keep_log(kept, put={0: b"abc", 1: b"def"})
        assert await store.logs("pod-1") == []  # Its pod is not kept.
        await writer.keep_pod(
            Key("task", "cause", "/shop"), PodRun(uid="pod-1", name="x", namespace="jobs"), created=1.0
        )
        await writer.keep_log(kept, put={0: b"abc", 1: b"def"})
        assert await store.logs("pod-1") == [kept]
        cut = KeptLog(
            pod="pod-1", container="main", state=LogState.CUT, bytes=6, dropped=3, head=1, chunks=(0, 7), read=9.0
        )
        await writer.keep_log(cut, put={7: b"\x00\xff\n"}, drop=(1,))
    assert await store.logs("pod-1") == [cut]
    assert [await store.chunk("pod-1", "main", number) for number in (0, 1, 7)] == [b"abc", None, b"\x00\xff\n"]


async def test_keeps_the_newest_of_what_cannot_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "UNREADABLE_MOST", 50)
    async with store.writing() as writer:
        for start in range(0, 80, 40):
            many = [
                Unreadable(sequence=number, time=float(number), reason="no JSON", body=b"x" * (UNREADABLE_BYTES + 1))
                for number in range(start, start + 40)
            ]
            after = await store.position(BROKER)
            await writer.add(batch(start + 40, unreadable=[*many, many[0]]), broker=BROKER, after=after)
    rows = await _unreadable(store)
    assert sorted(sequence for sequence, _, _ in rows) == list(range(30, 80))
    assert {len(body) for _, _, body in rows} == {UNREADABLE_BYTES}


async def _unreadable(store: Store) -> list[tuple[int, str, bytes]]:
    assert isinstance(store, SqlStore)
    async with store._database.reading() as connection:
        asked = select(unreadable.c.sequence, unreadable.c.reason, unreadable.c.body)
        return [tuple(row) for row in await connection.execute(asked)]


async def test_what_the_database_refuses_stops_nothing(store: Store) -> None:
    good = [entry(number, Phase.CREATED, time=1.0) for number in range(20)]
    poison = [entry(number, Phase.CREATED, time=1.0, changes={"memory": 2**70}) for number in (30, 31)]
    mixed = [*good[:7], poison[0], *good[7:], poison[1]]
    action = Action(id="a", time=1.0, actor=None, verb=None, request_id=None, outcome="accepted")
    async with store.writing() as writer:
        assert await writer.add(batch(22, *mixed, actions=[action]), broker=BROKER, after=None) == 20
        assert await store.position(BROKER) == batch(22).cursor
        assert await writer.add(batch(44, *mixed), broker=BROKER, after=batch(22).cursor) == 0
    assert len((await store.page(Wanted(), limit=50)).requests) == 20
    assert (await store.actions()).actions == [action]
    rows = await _unreadable(store)
    assert {body for _, _, body in rows} == {each.body for each in poison}
    assert all(sequence < 0 and "memory" not in reason for sequence, reason, _ in rows)


HOSTILE = ("a\0b", "b\ud800c", "é" * 5000, "\U0001d518" * 5000, "'; DROP TABLE request; --", "%_[", "")


async def test_takes_any_text(store: Store) -> None:
    async with store.writing() as writer:
        for number, text in enumerate(HOSTILE):
            changes = {
                **dict.fromkeys(("service", "message", "image", "job_uid"), text),
                "result": text.encode(errors="replace"),
            }
            one = Entry(
                id=text,
                key=Key(id=text, cause=text, source=text),
                phase=Phase.CREATED,
                time=1.0,
                changes=changes,
                body=b"{}",
                tags=(text, "other"),
                pod=PodRun(uid=text, name=text, namespace=text, node=text, reason=text),
            )
            actions = [Action(id=text, time=1.0, actor=text, verb=text, request_id=text, outcome=text, code=text)]
            bad = [Unreadable(sequence=number, time=1.0, reason=text, body=b"")]
            after = await store.position(BROKER)
            whole = batch(2 * number, one, actions=actions, unreadable=bad)
            assert await writer.add(whole, broker=BROKER, after=after) == 1
            assert await writer.add(batch(2 * number + 1, one), broker=BROKER, after=whole.cursor) == 0
            await writer.keep_log(KeptLog(pod=text, container=text, state=LogState.WHOLE, chunks=(0,)), put={0: b"x"})
    for text in HOSTILE:
        (found,) = await store.find(text)
        for wanted in (Wanted(service=text), Wanted(tag=text), Wanted(id=text, source=text)):
            assert (await store.page(wanted, limit=5)).requests == [found]
        assert found in (await store.page(Wanted(text=text), limit=50)).requests
        assert len(await store.tags(found.pk)) == 2
        assert len(await store.pods(found.pk)) == 1
        assert await store.chunk(text, text, 0) == b"x"


async def test_says_how_large_it_is(store: Store, request: pytest.FixtureRequest) -> None:
    size = await store.size()
    assert (size is None) == (MEMORY in request.node.name)
    if size is not None:
        assert size > 4096


async def test_refuses_a_page_token_that_is_not_its_own(store: Store) -> None:
    async with store.writing() as writer:
        await writer.add(batch(9, *(entry(n, Phase.CREATED, time=1.0) for n in range(9))), broker=BROKER, after=None)
    page = await store.page(Wanted(), limit=2)
    assert page.next is not None
    for token in (page.next[:-1], page.next + "A", "A" + page.next[1:], "", "é", "=", page.next[::-1]):
        with pytest.raises(BadCursor):
            await store.page(Wanted(), limit=2, after=token)
    with pytest.raises(BadCursor):
        await store.page(Wanted(service="billing"), limit=2, after=page.next)


async def test_nothing_of_a_batch_that_fails_is_kept(store: Store) -> None:
    class Broken(Exception):
        pass

    async with store.writing() as writer:
        with suppress(Broken):
            assert isinstance(store, SqlStore)
            async with store._database.changing() as connection:
                await connection.exec_driver_sql("INSERT INTO counter (name, value) VALUES ('x', 1)")
                raise Broken
        assert await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=None) == 1


async def test_the_order_of_events_is_that_of_the_log(store: Store) -> None:
    first, second = entry(1, Phase.CREATED, time=1.0), entry(1, Phase.STARTED, time=1.0)
    async with store.writing() as writer:
        await writer.add(batch(3, first, second, first), broker=BROKER, after=None)
    (found,) = await store.find("task-1")
    assert found.phase is Phase.STARTED
    assert [event.phase for event in await store.events(found.pk)] == [Phase.CREATED, Phase.STARTED]


async def test_says_the_position_of_the_last_event(store: Store) -> None:
    assert await store.last() == 0
    async with store.writing() as writer:
        await writer.add(batch(1, *(entry(n, Phase.CREATED, time=1.0) for n in range(3))), broker=BROKER, after=None)
    assert await store.last() == (await store.since(0))[-1].position
    assert await store.since(await store.last()) == []


async def test_finds_the_last_event_of_a_phase(store: Store) -> None:
    phases = (Phase.CREATED, Phase.QUEUED, Phase.QUEUED, Phase.STARTED)
    entries = [entry(1, phase, time=float(n), name=f"event-{n}") for n, phase in enumerate(phases)]
    async with store.writing() as writer:
        await writer.add(batch(1, *entries, entry(2, Phase.QUEUED, time=9.0)), broker=BROKER, after=None)
    (found,) = await store.find("task-1")
    last = await store.latest(found.pk, Phase.QUEUED)
    assert last is not None
    assert last.id == "event-2"
    assert await store.latest(found.pk, Phase.FAILED) is None
    assert await store.latest(2**70, Phase.QUEUED) is None


async def test_counts_what_happened_since_and_what_is_now(store: Store) -> None:
    entries = [entry(n, Phase.CREATED, time=3600.0 * n) for n in range(5)]
    entries += [entry(n, Phase.STARTED, time=3600.0 * n, name=f"start-{n}") for n in range(3)]
    entries += [entry(4, Phase.FAILED, time=3600.0 * 4)]
    async with store.writing() as writer:
        await writer.add(batch(1, *entries), broker=BROKER, after=None)
    assert await store.totals(newer=3600.0 * 3) == {Phase.CREATED: 2, Phase.FAILED: 1}
    assert await store.totals(newer=1e9) == {}
    asked = (Phase.STARTED, Phase.CREATED, Phase.QUEUED)
    assert await store.held(asked, most=10) == {Phase.STARTED: 3, Phase.CREATED: 1, Phase.QUEUED: 0}
    assert (await store.held(asked, most=2))[Phase.STARTED] == 2


async def test_numbers_that_no_row_can_have(store: Store) -> None:
    for number in (2**63, -(2**63) - 1, 10**30):
        assert await store.request(number) is None
        assert await store.events(number) == []
        assert await store.events(1, after=number) == []
        assert await store.pods(number) == []
        assert await store.asked(number) is None
    async with store.writing() as writer:
        pod = PodRun(uid="pod", name="x", namespace="y", exit_code=2**70)
        await writer.keep_pod(Key("task", "cause", "/shop"), pod, created=1.0)
        assert await store.find("task") == []
        assert await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=None) == 1


async def test_questions_that_are_cancelled_leave_nothing_behind(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.writing() as writer:
        many = [entry(number, Phase.CREATED, time=1.0) for number in range(200)]
        await writer.add(batch(200, *many), broker=BROKER, after=None)
    for steps in range(40):
        asking = asyncio.create_task(store.page(Wanted(), limit=200))
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
    assert len((await store.page(Wanted(), limit=200)).requests) == 200
    assert not caplog.records


async def test_a_file_gives_back_what_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "SPARE_BYTES", 1 << 20)
    async with opened(SQLITE) as store, store.writing() as writer:
        many = [
            Unreadable(sequence=number, time=float(number), reason="no JSON", body=b"x" * UNREADABLE_BYTES)
            for number in range(100)
        ]
        await writer.add(batch(100, entry(1, Phase.FAILED, time=101.0), unreadable=many), broker=BROKER, after=None)
        full = await store.size()
        for _ in range(3):
            await store.prune(requests_before=1000.0, logs_before=None)
        left = await store.size()
        assert full is not None
        assert left is not None
        assert left < 2 << 20 < full
        assert await writer.add(batch(101, unreadable=many), broker=BROKER, after=batch(100).cursor) == 0


async def test_memory_has_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "MOST_BYTES", 1 << 20)
    async with opened(MEMORY) as store, store.writing() as writer:
        for number in range(100):
            one = entry(
                number, Phase.CREATED, time=float(number), pod=PodRun(uid=f"pod-{number}", name="x", namespace="y")
            )
            await writer.add(batch(number, one), broker=BROKER, after=await store.position(BROKER))
            log = KeptLog(pod=f"pod-{number}", container="main", state=LogState.WHOLE, bytes=1, chunks=(0,), read=1.0)
            await writer.keep_log(log, put={0: os.urandom(60_000)})
        page = await store.page(Wanted(), limit=200)
        assert 5 < len(page.requests) < 20
        assert page.requests[0].key.id == "task-99"


async def test_memory_keeps_the_newest() -> None:
    async with opened(MEMORY, keep=10) as store:
        async with store.writing() as writer:
            for number in range(0, 60, 5):
                many = [entry(n, Phase.CREATED, time=float(n), tags=("a",)) for n in range(number, number + 5)]
                after = await store.position(BROKER)
                await writer.add(batch(number + 5, *many), broker=BROKER, after=after)
        page = await store.page(Wanted(), limit=50)
        assert [request.key.id for request in page.requests] == [f"task-{n}" for n in range(59, 49, -1)]
        assert len((await store.page(Wanted(tag="a"), limit=50)).requests) == 10
        assert [event.position for event in await store.since(0)] == list(range(51, 61))


async def test_the_last_event_of_a_phase_is_found_for_many_requests_at_once(store: Store) -> None:
    events = [
        entry(number, Phase.QUEUED, time=float(times), name=f"uid-{number}/queued/{times}")
        for times in range(1, 4)
        for number in range(5)
    ]
    async with store.writing() as writer:
        created = [entry(number, Phase.CREATED, time=0.5) for number in range(6)]
        await writer.add(batch(9, *created, *events), broker=BROKER, after=None)
    numbers = [request.pk for request in (await store.page(Wanted(), limit=10)).requests]
    found = await store.latest_of([*numbers, 10**9], Phase.QUEUED)
    assert sorted(one.id for one in found) == [f"uid-{number}/queued/3" for number in range(5)]
    assert {one.request for one in found} < set(numbers)
    assert await store.latest_of([], Phase.QUEUED) == []
    assert await store.latest_of(numbers, Phase.FAILED) == []
