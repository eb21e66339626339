"""Pages: each request once, from an index, and never more than a bound is looked at."""

import re
from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import text

from events.phases import Phase
from handler.history.base import Entry, Key, Request, Store, Wanted
from handler.history.sql import paging
from handler.history.sql.paging import FIRST, Way
from handler.history.sql.store import SqlStore, open_store
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import KINDS, POSTGRESQL, SQLITE, opened
from tests.postgres import database


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made:
        yield made


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


async def test_pages_have_each_request_once(store: Store) -> None:
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
    for wanted in QUESTIONS.values():
        expected = [each.key.id for each in entries if _is_wanted(each, wanted)]
        found: list[Request] = []
        token = None
        while True:
            page = await store.page(wanted, limit=7, after=token)
            found += page.requests
            if (token := page.next) is None:
                break
            assert len(page.requests) == 7
        times = [request.updated for request in found]
        assert times == sorted(times, reverse=True)
        assert sorted(request.key.id for request in found) == sorted(expected)


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


async def test_what_did_not_change_is_on_one_page_whatever_changes_meanwhile(store: Store) -> None:
    many = [entry(number, Phase.CREATED, time=float(number)) for number in range(40)]
    async with store.writing() as writer:
        await writer.add(batch(40, *many), broker=BROKER, after=None)
        found, token, position = [], None, 40
        while True:
            page = await store.page(Wanted(), limit=8, after=token)
            found += [request.key.id for request in page.requests]
            if (token := page.next) is None:
                break
            # One that was shown, and one that was not yet.
            changed = [entry(number, Phase.STARTED, time=100.0 + position) for number in (39, position - 40)]
            before = batch(position).cursor
            position += 1
            await writer.add(batch(position, *changed), broker=BROKER, after=before)
    moved = {f"task-{number}" for number in range(position - 40)}
    assert len(found) == len(set(found))
    assert set(found) >= {f"task-{number}" for number in range(40)} - moved


async def test_looks_at_no_more_rows_than_its_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "WINDOW", 10)
    monkeypatch.setattr(paging, "WINDOWS", 2)
    many = [
        entry(number, Phase.CREATED, time=float(number), tags=("rare",) if number < 3 else ()) for number in range(95)
    ]
    async with store.writing() as writer:
        await writer.add(batch(95, *many), broker=BROKER, after=None)
    wanted = Wanted(source="/elsewhere")
    token, pages = None, 0
    while True:
        page = await store.page(wanted, limit=5, after=token)
        assert page.requests == []
        pages += 1
        if (token := page.next) is None:
            break
    assert pages == 5  # 20 of 95 each.
    rare = await store.page(Wanted(tag="rare", source="/shop"), limit=5)
    assert [request.key.id for request in rare.requests] == ["task-2", "task-1", "task-0"]
    # As many as asked for, across windows.
    assert len((await store.page(Wanted(source="/shop"), limit=15)).requests) == 15


async def test_a_service_with_few_requests_answers_with_any_tag(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "WINDOW", 10)
    monkeypatch.setattr(paging, "WINDOWS", 1)
    async with store.writing() as writer:
        many = [
            entry(
                number, Phase.CREATED, time=float(number), tags=("odd",), changes={"service": "s" if number else "rare"}
            )
            for number in range(100)
        ]
        await writer.add(batch(100, *many), broker=BROKER, after=None)
    page = await store.page(Wanted(tag="odd", service="rare"), limit=5)
    assert [request.key.id for request in page.requests] == ["task-0"]
    assert page.next is None


async def test_a_list_need_not_have_results(store: Store) -> None:
    large = b'"' + b"x" * 100_000 + b'"'
    entries = [entry(n, Phase.SUCCEEDED, time=1.0, changes={"result": large, "replay_of": "r"}) for n in range(3)]
    async with store.writing() as writer:
        await writer.add(batch(1, *entries), broker=BROKER, after=None)
    whole = (await store.page(Wanted(), limit=5)).requests
    brief = (await store.page(Wanted(), limit=5, results=False)).requests
    assert [request.result for request in whole] == [large] * 3
    assert list(brief) == [msgspec.structs.replace(request, result=None) for request in whole]


async def test_the_beginning_of_many_ids(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "FEW", 5)
    paging.few.cache_clear()
    paging.rows.cache_clear()
    async with store.writing() as writer:
        many = [entry(number, Phase.CREATED, time=float(number % 7)) for number in range(120)]
        await writer.add(batch(120, *many), broker=BROKER, after=None)
    for beginning, number in (("task-11", 11), ("task-", 120), ("task-119", 1), ("no", 0)):
        found, token = [], None
        while True:
            page = await store.page(Wanted(text=beginning), limit=4, after=token)
            found += [request.key.id for request in page.requests]
            if (token := page.next) is None:
                break
        assert len(set(found)) == len(found) == number
    paging.few.cache_clear()
    paging.rows.cache_clear()


async def test_the_beginning_of_ids_where_a_server_sorts_words() -> None:
    async with (
        database("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'") as url,
        open_store(url, migrate=True) as store,
        store.writing() as writer,
    ):
        names = ("task-1", "Task-2", "TASK-3", "task 4", "task_5", "tasks", "täsk")
        many = [
            Entry(id=name, key=Key(name, "", ""), phase=Phase.CREATED, time=1.0, changes={}, body=b"") for name in names
        ]
        await writer.add(batch(1, *many), broker=BROKER, after=None)
        for beginning in ("task", "T", "task-", "t", "ä"):
            page = await store.page(Wanted(text=beginning), limit=50)
            found = {request.key.id for request in page.requests}
            assert found == {name for name in names if name.startswith(beginning)}


PLANS = {
    **{name: wanted for name, wanted in QUESTIONS.items() if name not in ("beginning", "source")},
    "tag and phases": Wanted(tag="odd", phases=(Phase.FAILED, Phase.CANCELLED)),
    "id": Wanted(id="task-1"),
}


@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
async def test_pages_come_from_indexes(kind: str) -> None:
    async with opened(kind) as store:
        assert isinstance(store, SqlStore)
        if kind == POSTGRESQL:
            # For an empty table it would not take an index.
            async with store._database.changing() as connection:
                await connection.execute(
                    text(
                        "INSERT INTO request SELECT n, n::text::bytea, n::text, '', '', "
                        "CASE n % 50 WHEN 0 THEN 'failed' ELSE 'succeeded' END, 0, n, NULL, 's' || n % 10, "
                        "NULL, NULL, NULL, NULL, true, 1 "
                        "FROM generate_series(1, 20000) n"
                    )
                )
                await connection.execute(
                    text("INSERT INTO tag SELECT 'odd', phase, updated, pk FROM request WHERE pk % 2 = 1")
                )
            async with store._database.changing() as connection:
                await connection.execute(text("ANALYZE"))
        for name, wanted in PLANS.items():
            plan = await _plan(store, wanted)
            assert not re.search(r"SCAN (request|tag)\b|Seq Scan|Bitmap", plan), f"{name}: {plan}"
            # What is in order is merged; SQLite sorts the keys of a page.
            assert not re.search(r"-> +Sort", plan), f"{name}: {plan}"


async def _plan(store: SqlStore, wanted: Wanted) -> str:
    shape = paging.shape_of(wanted)
    values = {**paging.values_of(wanted, shape, FIRST), "limit": 51, "window": 51}
    async with store._database.reading() as connection:
        compiled = paging.rows(shape, results=True).compile(dialect=connection.dialect)
        given = compiled.construct_params(values)
        explain = "EXPLAIN " if store._database.on_server else "EXPLAIN QUERY PLAN "
        names = compiled.positiontup or ()
        rows = await connection.exec_driver_sql(explain + str(compiled), tuple(given[name] for name in names))
        return "\n".join(str(row[-1]) for row in rows)


def test_each_way_is_reached() -> None:
    assert {paging.shape_of(wanted).way for wanted in PLANS.values()} | {Way.FEW} == set(Way)
