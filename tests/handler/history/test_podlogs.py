"""Logs of real processes are kept before their Jobs go: whole, or without their middle, each read once."""

from collections.abc import AsyncIterator

import pytest

from adapters.memory import MemoryBroker
from handler.history.base import LogState, Store, Writer
from k8s.api.cluster import Cluster
from tests.handler.history.keepers import keeping, log_of, pods_of, recorded
from tests.handler.history.shelves import read_back
from tests.handler.history.stores import MEMORY, opened
from tests.handler.jobs import gone, name_of, without_finalizer
from tests.handler.relay import running
from tests.handler.samples import SOURCE, make_request


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with opened(MEMORY) as store:
        yield store


@pytest.fixture
async def writer(store: Store) -> AsyncIterator[Writer]:
    async with store.writing() as writer:
        yield writer


async def test_a_log_stays_when_its_job_goes(
    broker: MemoryBroker, cluster: Cluster, store: Store, writer: Writer
) -> None:
    async with running(broker, cluster) as client, keeping(cluster, store, writer, log_bytes=65_536):
        await client.publish(make_request("long", script="seq 1 50000; exit 3"))
        await client.ended("long")
        await without_finalizer(cluster, "long")
        await cluster.patch_job("default", name_of("long"), {"spec": {"ttlSecondsAfterFinished": 0}})
        (pod,) = await pods_of(store, "long")
        log = await log_of(store, pod.uid)
        await gone(cluster, "long")
    request = await recorded(store, "long")
    assert (request.key.id, request.key.cause, request.key.source) == ("long", "event-long", SOURCE)
    assert (pod.exit_code, pod.reason, pod.namespace) == (3, "Error", "default")
    assert pod.node
    assert pod.started
    assert pod.finished
    assert pod.started <= pod.finished
    whole = b"".join(b"%d\n" % number for number in range(1, 50_001))
    assert (log.state, log.bytes + log.dropped) == (LogState.CUT, len(whole))
    assert 60_000 < log.bytes <= 65_536
    head, tail = (await read_back(store, log)).split(f"[jobrelay: {log.dropped // 1000} kB left out here]\n".encode())
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert (head[-1:], len(head) + len(tail)) == (b"\n", log.bytes)
    assert (await read_back(store, log, tail=2)) == b"49999\n50000\n"
