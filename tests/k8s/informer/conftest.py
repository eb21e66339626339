"""Fixtures for tests of the informer: it follows one namespace of the misbehaving server, and never waits for long."""

import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from k8s.api.cluster import Cluster
from k8s.informer import reflector
from k8s.informer.informer import JobCache, follow
from tests.k8s.conftest import eventually
from tests.k8s.server import Server


class Impatient(random.Random):
    """Jitter at its shortest."""

    def random(self) -> float:
        return 0.0


def following(cluster: Cluster, *, idle: float = 30.0) -> AbstractAsyncContextManager[JobCache]:
    return follow(cluster, namespaces=["ns"], selector="app=x", idle=idle, rng=Impatient())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "backoff", lambda attempt, **_: 0.01)


@pytest.fixture
async def cache(cluster: Cluster, server: Server) -> AsyncIterator[JobCache]:
    """Synced, and all watches open."""
    async with following(cluster) as cache:
        await eventually(lambda: len(server.watchers) == 3)
        yield cache
