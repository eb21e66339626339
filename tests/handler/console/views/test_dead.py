"""Dead letters as they are listed and shown: bounded, read for everybody at once, and left as they were."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.base import Broker, BrokerUnavailable, Kind, Record, digest_of
from adapters.memory import MemoryBroker
from handler.console.backend import Backend, UnknownBroker
from handler.console.http.problems import Problem
from handler.console.views import dead
from handler.console.views.dead import LettersQuery, letter_view, letters_view
from k8s.api.cluster import Cluster
from tests.handler.console.pages.filled import bury
from tests.handler.console.views.seen import seeing

EVENT = b'{"specversion":"1.0","id":"e-1","source":"/shop","type":"com.example.paid","data":1}'
STRUCTURED = {"content-type": "application/cloudevents+json"}


@asynccontextmanager
async def reading(cluster: Cluster, *brokers: Broker) -> AsyncIterator[Backend]:
    async with seeing(cluster) as (backend, _):
        backend.brokers = {broker.name: broker for broker in brokers}
        yield backend


async def test_letters_say_what_they_are_and_are_chosen(cluster: Cluster, broker: MemoryBroker) -> None:
    bury(broker, EVENT, code="INVALID_REQUEST", reason="job.image: is missing", **STRUCTURED)
    bury(broker, b"\xff\x00", reason="r" * 100_000)
    async with reading(cluster, broker) as backend:
        event, other = (await letters_view(backend, LettersQuery())).letters
        assert (event.number, event.code, event.reason) == (1, "INVALID_REQUEST", "job.image: is missing")
        assert (event.id, event.source, event.type) == ("e-1", "/shop", "com.example.paid")
        assert (event.broker, event.topic, event.digest) == ("memory", "requests", digest_of(EVENT))
        assert (other.id, other.type, len(other.reason)) == (None, None, dead.TEXT_MOST)
        for asked, numbers in (
            ({"code": "INVALID_R*"}, [1]),
            ({"type": "com.example.*"}, [1]),
            ({"newer": "1h"}, [1, 2]),
            ({"older": "1h"}, []),
            ({"broker": "memory", "code": "*"}, [1, 2]),
        ):
            found = await letters_view(backend, LettersQuery(**asked))
            assert [letter.number for letter in found.letters] == numbers, asked


async def test_a_list_is_bounded_and_says_so(
    cluster: Cluster, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        bury(broker, b"x" * 100, code="LATE" if number > 7 else "EARLY")
    monkeypatch.setattr(dead, "SHOWN_MOST", 5)
    async with reading(cluster, broker) as backend:
        found = await letters_view(backend, LettersQuery())
        assert ([letter.number for letter in found.letters], found.more) == ([1, 2, 3, 4, 5], True)
    for name, most in (("READ_MOST", 6), ("BYTES_MOST", 550)):
        with monkeypatch.context() as patch:
            patch.setattr(dead, name, most)
            async with reading(cluster, broker) as backend:
                found = await letters_view(backend, LettersQuery(code="LATE"))
                assert (found.letters, found.more) == ([], True)


async def test_many_who_look_read_once(cluster: Cluster, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(broker, EVENT)
    reads = 0
    history = broker.history

    @asynccontextmanager
    async def counted(kind: Kind, **options: Any) -> AsyncIterator[AsyncIterator[Record]]:
        nonlocal reads
        reads += 1
        async with history(kind, **options) as records:
            yield records

    monkeypatch.setattr(broker, "history", counted)
    async with reading(cluster, broker) as backend:
        pages = await asyncio.gather(*(letters_view(backend, LettersQuery()) for _ in range(20)))
        assert reads == 1
        assert all(len(page.letters) == 1 for page in pages)
        bury(broker, EVENT)
        backend.answers.forget(dead.answer_of("memory"))
        assert len((await letters_view(backend, LettersQuery())).letters) == 2


async def test_a_broker_that_is_busy_or_gone_is_a_problem(
    cluster: Cluster, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def busy(_kind: Kind, **_: Any) -> AsyncIterator[AsyncIterator[Record]]:
        raise BrokerUnavailable("somebody else is reading dead")
        yield

    closed = 0

    @asynccontextmanager
    async def hangs(_kind: Kind, **_: Any) -> AsyncIterator[AsyncIterator[Record]]:
        async def never() -> AsyncIterator[Record]:
            await asyncio.Event().wait()
            yield  # type: ignore[misc]

        try:
            yield never()
        finally:
            # Giving letters back takes its time, and is not broken off.
            await asyncio.sleep(0.01)
            nonlocal closed
            closed += 1

    monkeypatch.setattr(dead, "SECONDS_MOST", 0.05)
    for history, said in ((busy, "somebody else is reading"), (hangs, "were not read in time")):
        monkeypatch.setattr(broker, "history", history)
        async with reading(cluster, broker) as backend:
            found = await letters_view(backend, LettersQuery())
            assert found.letters == []
            assert said in found.problems[0]
            with pytest.raises(BrokerUnavailable, match=said):
                await letter_view(backend, 1)
    assert closed == 2


async def test_a_broker_that_is_away_is_told_from_one_that_there_is_not(cluster: Cluster) -> None:
    async with reading(cluster) as backend:
        backend.configured = ["nats", "rabbitmq"]
        away = ["broker nats was never connected so far", "broker rabbitmq was never connected so far"]
        assert (await letters_view(backend, LettersQuery())).problems == away
        assert (await letters_view(backend, LettersQuery(broker="nats"))).problems == away[:1]
        with pytest.raises(BrokerUnavailable):
            await letter_view(backend, 1, "nats")
        for asked in (letters_view(backend, LettersQuery(broker="kafka")), letter_view(backend, 1, "kafka")):
            with pytest.raises(UnknownBroker) as caught:
                await asked
            assert caught.value.names == ["nats", "rabbitmq"]


async def test_one_letter_is_shown_whole(cluster: Cluster, broker: MemoryBroker) -> None:
    bury(broker, EVENT, **STRUCTURED, **{"x-hostile": "<b>\u202e"})
    bury(broker, b"\xff\x00")
    async with reading(cluster, broker) as backend:
        text = await letter_view(backend, 1)
        assert (text.body, text.body_base64, text.size) == (EVENT.decode(), None, len(EVENT))
        assert (text.origin, text.attempts, text.headers["x-hostile"]) == ("requests/7", "1", "<b>\u202e")
        binary = await letter_view(backend, 2, "memory")
        assert binary.body is None
        assert base64.b64decode(binary.body_base64 or "") == b"\xff\x00"
        with pytest.raises(Problem) as caught:
            await letter_view(backend, 3)
        assert (caught.value.status, caught.value.code) == (404, "NOT_FOUND")
