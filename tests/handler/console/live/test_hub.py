"""Each listener is told what changed of its list: all of it, once, and from wherever it had been."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from events.phases import Phase
from handler.console.live import hub as hubs
from handler.console.live.groups import BUFFER, Listener
from handler.console.live.hub import Hub
from handler.console.live.places import Place, newest, place_of
from handler.history.base import Entry, Request, StoreUnavailable, Wanted
from k8s.api.cluster import Cluster
from k8s.background import beside
from tests.handler.commands.history.records import told
from tests.handler.console.live.feeds import Record, Stream, backend_of, recording, rows
from tests.patience import PATIENCE

EVERY = Wanted()
FAILED = Wanted(phases=(Phase.FAILED,), source="/shop")


def written(request: Request) -> bytes:
    return orjson.dumps({"number": request.pk, "id": request.key.id, "phase": request.phase})


def some(count: int, *, first: int = 0, phase: Phase = Phase.CREATED) -> list[Entry]:
    return [told(f"r-{number}", phase, at=number) for number in range(first, first + count)]


def read(listener: Listener) -> Stream:
    """What it is told, as a client reads it."""

    async def lines() -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(PATIENCE):
                for line in (await listener.next()).splitlines(keepends=True):
                    yield line

    return Stream(lines())


@pytest.fixture
async def record() -> AsyncIterator[Record]:
    async with recording() as made:
        yield made


@asynccontextmanager
async def running(record: Record, cluster: Cluster) -> AsyncIterator[Hub]:
    hub = Hub(backend_of(record.store, cluster), write=written)
    async with beside(hub.run()):
        yield hub


@asynccontextmanager
async def listening(
    hub: Hub, wanted: Wanted = EVERY, *, most: int | None = None, after: Place | None = None
) -> AsyncIterator[Stream]:
    async with hub.listening(wanted, most, after) as listener:
        yield read(listener)


async def test_tells_what_changes_in_the_order_of_change(record: Record, cluster: Cluster) -> None:
    await record.add(*some(3))
    async with running(record, cluster) as hub, listening(hub) as stream:
        await record.add(told("r-1", Phase.STARTED, at=10), told("r-9", Phase.CREATED, at=11))
        await record.add(told("r-0", Phase.STARTED, at=12), told("r-1", Phase.FAILED, at=13))
        found = [rows(await stream.until("requests"))]
        while found[-1][-1] != ("r-1", "failed"):
            found.append(rows(await stream.until("requests")))
    # Whether it was one look or two: the order is that of the last change, the rows are as they are by then.
    assert list(dict(row for part in found for row in part)) in (["r-9", "r-0", "r-1"], ["r-1", "r-9", "r-0"])
    assert place_of(stream.last) == await newest(record.store)


async def test_tells_that_a_request_has_left_the_list(record: Record, cluster: Cluster) -> None:
    await record.add(told("r-1", Phase.FAILED), told("r-2", Phase.FAILED))
    async with running(record, cluster) as hub, listening(hub, FAILED) as stream:
        await record.add(told("r-1", Phase.CREATED, at=1, job_uid="another"), told("r-3", Phase.FAILED, at=2))
        first, second = await stream.next(), await stream.next()
    assert first is not None
    assert second is not None
    assert (first.event, first.data, first.id) == ("gone", [1], None)
    assert (second.event, rows(second)) == ("requests", [("r-3", "failed")])
    assert second.id == str(await newest(record.store))


async def test_goes_on_where_it_was(record: Record, cluster: Cluster) -> None:
    await record.add(*some(5))
    async with running(record, cluster) as hub:
        before = await newest(record.store)
        await record.add(*some(7, first=5))
        async with listening(hub, after=before) as stream:
            assert await stream.ids(7) == [f"r-{number}" for number in range(5, 12)]
            last = place_of(stream.last)
            await record.add(*some(1, first=12))
            assert await stream.ids(1) == ["r-12"]
    # Another process, which knows nothing of the first one.
    async with running(record, cluster) as hub, listening(hub, after=last) as stream:
        assert await stream.ids(1) == ["r-12"]


async def test_has_nothing_to_tell_of_a_place_that_is_the_last(record: Record, cluster: Cluster) -> None:
    await record.add(*some(5))
    async with running(record, cluster) as hub, hub.listening(EVERY, None, await newest(record.store)) as listener:
        assert listener.place == str(await newest(record.store))


@pytest.mark.parametrize("place", ["999", "5.ffffff", "3.000000"])
async def test_a_place_of_another_record_begins_anew(record: Record, cluster: Cluster, place: str) -> None:
    await record.add(*some(5))
    async with running(record, cluster) as hub, listening(hub, after=place_of(place)) as stream:
        message = await stream.next()
        assert message is not None
        assert message.event == "resync"
        assert message.id == str(await newest(record.store))
        await record.add(*some(1, first=5))
        assert await stream.ids(1) == ["r-5"]


async def test_a_place_that_the_page_knows_before_the_hub_does_is_no_other(record: Record, cluster: Cluster) -> None:
    async with running(record, cluster) as hub, listening(hub):
        await record.add(*some(5))
        async with hub.listening(EVERY, None, Place(5)) as listener:
            assert listener.place is not None


async def test_too_many_that_were_missed_begin_anew(
    record: Record, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record.add(*some(BUFFER + 1))
    async with running(record, cluster) as hub:
        async with listening(hub, after=Place(0)) as stream:
            await stream.until("resync")
        async with listening(hub, after=Place(1)) as stream:
            assert len(await stream.ids(BUFFER)) == BUFFER
        monkeypatch.setattr(hubs, "FAR", 10)
        async with listening(hub, after=Place(BUFFER - 10)) as stream:
            await stream.until("resync")


async def test_no_more_than_the_newest_where_that_is_enough(record: Record, cluster: Cluster) -> None:
    async with running(record, cluster) as hub, listening(hub, most=3) as stream:
        await record.add(*some(50))
        assert await stream.ids(3) == ["r-47", "r-48", "r-49"]


async def test_who_does_not_keep_up_begins_anew(record: Record, cluster: Cluster) -> None:
    async with running(record, cluster) as hub, hub.listening(EVERY, None, None) as slow, listening(hub) as stream:
        for part in range(6):
            await record.add(*some(200, first=part * 200))
            await stream.ids(200)
        await record.add(*some(1, first=1200))
        await stream.ids(1)
        message = await read(slow).next()
    assert message is not None
    assert message.event == "resync"


async def test_those_who_ask_the_same_share_the_bytes(record: Record, cluster: Cluster) -> None:
    async with (
        running(record, cluster) as hub,
        hub.listening(EVERY, 50, None) as one,
        hub.listening(Wanted(), 50, None) as other,
        asyncio.timeout(PATIENCE),
    ):
        await record.add(*some(3))
        assert await one.next() is await other.next()


async def test_looks_at_the_record_only_while_somebody_listens(
    record: Record, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    real = type(record.store).changes

    async def counted(self: object, *given: int, **options: int) -> object:
        nonlocal looks
        looks += 1
        return await real(self, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(record.store), "changes", counted)
    monkeypatch.setattr(hubs, "TICK_SECONDS", 0.001)
    async with running(record, cluster) as hub:
        async with listening(hub) as stream, hub.listening(FAILED, None, None):
            await record.add(*some(1))
            await stream.ids(1)
        # A look may be under way.
        await asyncio.sleep(0.05)
        before = looks
        await asyncio.sleep(0.05)
        assert looks == before
        await record.add(*some(1, first=1))
        async with listening(hub) as stream:
            await record.add(*some(1, first=2))
            assert await stream.ids(1) == ["r-2"]


async def test_waits_for_a_database_that_is_away(
    record: Record, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hubs, "AWAY_SECONDS", 0.01)
    real, away = type(record.store).changes, True

    async def unavailable(self: object, *given: int, **options: int) -> object:
        if away:
            raise StoreUnavailable("not now")
        return await real(self, *given, **options)  # type: ignore[arg-type]

    async with running(record, cluster) as hub, listening(hub) as stream:
        monkeypatch.setattr(type(record.store), "changes", unavailable)
        await record.add(*some(2))
        async with asyncio.timeout(PATIENCE):
            while "streams wait" not in caplog.text:
                await asyncio.sleep(0.01)
        away = False
        assert await stream.ids(2) == ["r-0", "r-1"]
    assert caplog.text.count("streams wait") == 1


async def test_what_cannot_be_written_ends_no_stream(
    record: Record, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(request: Request) -> bytes:
        if request.key.id == "r-0":
            raise ValueError("no")
        return written(request)

    hub = Hub(backend_of(record.store, cluster), write=refusing)
    async with beside(hub.run()), listening(hub) as stream:
        await record.add(*some(1))
        await stream.until("resync")
        await record.add(*some(1, first=1))
        assert await stream.ids(1) == ["r-1"]
    assert "could not be told" in caplog.text
