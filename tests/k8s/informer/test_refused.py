"""A namespace that we may not follow, because a RoleBinding is missing in it, keeps nobody from the others."""

import asyncio

import pytest

from k8s.api.cluster import Cluster
from k8s.informer import informer
from k8s.informer.informer import follow
from tests.k8s.conftest import eventually
from tests.k8s.informer.conftest import Impatient
from tests.k8s.objects import make_job
from tests.k8s.server import JOBS, Server, status

OTHER_JOBS = JOBS.replace("/ns/", "/other/")
DENIED = 'jobs.batch is forbidden: User "jobrelay" cannot list resource "jobs" in the namespace "other"'
FOR_LONG = 10**6


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "REFUSED_SECONDS", 0.01)


async def test_the_others_are_followed_and_it_is_named_until_we_may_follow_it(cluster: Cluster, server: Server) -> None:
    server.put(JOBS, make_job("here"))
    server.answer(403, status(403, "Forbidden", DENIED), part="/other/", times=FOR_LONG)
    async with follow(cluster, namespaces=["ns", "other"], selector="app=x", rng=Impatient()) as cache:
        await cache.resync()
        assert [job.name for job in cache.jobs()] == ["here"]
        assert cache.problem is None
        assert cache.refused.keys() == {"other"}
        assert cache.refused["other"].startswith("403 ")
        server.heal()
        await eventually(lambda: not cache.refused)
        there = make_job("there")
        there["metadata"]["namespace"] = "other"
        server.put(OTHER_JOBS, there)
        await eventually(lambda: cache.get(("other", "there")) is not None)


async def test_the_only_namespace_is_waited_for(cluster: Cluster, server: Server) -> None:
    server.answer(403, status(403, "Forbidden", DENIED), part="/ns/", times=FOR_LONG)
    entering = follow(cluster, namespaces=["ns"], selector="app=x", rng=Impatient())
    opening = asyncio.create_task(entering.__aenter__())
    await eventually(lambda: len(server.requests) > 6)
    assert not opening.done()
    server.heal()
    cache = await opening
    assert cache.problem is None
    await entering.__aexit__(None, None, None)
