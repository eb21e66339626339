"""`check --connect` says whether the broker stores, and warns of missing replicas without failing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Replicas
from adapters.memory import MemoryBroker
from handler.commands import check
from handler.commands.errors import FAILED, OK
from handler.settings.settings import Settings


def make_settings(**fields: Any) -> Settings:
    return Settings(**{"sources": ("nats://127.0.0.1:1",), **fields})


class Clustered(MemoryBroker):
    problem: str | None = None

    async def probe(self) -> None:
        if self.problem is not None:
            raise BrokerUnavailable(self.problem)

    async def replicas(self) -> Sequence[Replicas]:
        one = Replicas(store="queue jobrelay.requests", members=3, online=2, wanted=3)
        few = Replicas(store="stream jobrelay.lifecycle.log", members=1, online=1, wanted=3, remedy="add two")
        return [one, few]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Clustered:
    made = Clustered()

    @asynccontextmanager
    async def connected(*_: Any) -> AsyncIterator[Clustered]:
        yield made

    async def no_cluster(*_: Any) -> list[tuple[str, bool]]:
        return []

    monkeypatch.setattr(check, "broker_of", connected)
    monkeypatch.setattr(check, "_check_cluster", no_cluster)
    return made


async def test_missing_replicas_are_warnings(broker: Clustered, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_settings()
    assert await check.check(settings, connect=True, form="table") == OK
    assert capsys.readouterr().err.splitlines() == [
        "nats: reachable, its streams and queues are as they should be",
        "nats: warning: 1 replica where there should be 3: stream jobrelay.lifecycle.log; run: add two",
        "nats: warning: 2 of 3 replicas are up: queue jobrelay.requests",
    ]


async def test_a_broker_that_stores_nothing_fails_unless_nothing_is_published(
    broker: Clustered, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.problem = "no quorum for queue jobrelay.requests"
    assert await check.check(make_settings(), connect=True, form="table") == FAILED
    assert capsys.readouterr().err == "nats: no quorum for queue jobrelay.requests\n"
    reading = make_settings(role="console", ui_address=None)
    assert await check.check(reading, connect=True, form="table") == OK
