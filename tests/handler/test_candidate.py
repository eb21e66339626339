"""A process that may lead ends when it is asked to, whatever happens to its term meanwhile."""

import asyncio
import gc

import pytest

from adapters.memory import MemoryBroker
from handler.controller.controller import Controller
from k8s.api.cluster import Cluster
from tests.handler.relay import running
from tests.handler.samples import make_request
from tests.patience import PATIENCE

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/jobrelay"


async def test_a_process_ends_even_if_it_loses_its_term_at_that_moment(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, ends, ended = Controller.run, asyncio.Event(), asyncio.Event()

    async def slow_to_end(self: Controller) -> None:
        try:
            await run(self)
        finally:
            ends.set()
            await ended.wait()

    monkeypatch.setattr(Controller, "run", slow_to_end)
    async with asyncio.timeout(PATIENCE):
        async with running(broker, cluster) as client:
            await client.publish(make_request("a"))
            await client.ended("a")
            await cluster.client.request("DELETE", LEASE)
            await ends.wait()
            # By then, the process has been asked to end.
            asyncio.get_running_loop().call_later(0.2, ended.set)
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
