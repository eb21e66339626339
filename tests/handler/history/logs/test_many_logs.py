"""Many pods end at once, with logs of any length: so many are read at a time, in bounded memory."""

import resource
import tracemalloc
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from handler.history.base import KeptLog, LogState
from k8s.api.cluster import Cluster
from tests.handler.history.logs.keepers import container, job_of, keeping, log_of, pods_of
from tests.handler.history.logs.shelves import Shelves
from tests.handler.history.logs.wards import Ward, make_seen
from tests.handler.history.stores import SQLITE, opened

MIB = 1 << 20
PIECE = b"x" * 65_535 + b"\n"


class Forgetful(Shelves):
    """Keeps no bodies: what it holds does not count."""

    async def keep_log(self, log: KeptLog, *, put: Mapping[int, bytes] = {}, drop: Sequence[int] = ()) -> None:
        await super().keep_log(log)


@pytest.mark.parametrize(
    ("pods", "length", "limit", "most"),
    [
        pytest.param(20, 4 * MIB, MIB // 4, 4, id="short"),
        pytest.param(100, 64 * MIB, MIB, 8, marks=pytest.mark.long, id="many"),
        pytest.param(4, 1024 * MIB, 16 * MIB, 2, marks=pytest.mark.long, id="gigabytes"),
    ],
)
async def test_memory_is_bounded_by_the_limit_of_those_that_are_read(
    pods: int, length: int, limit: int, most: int
) -> None:
    ward, reading, peak = Ward(), 0, 0
    ward.shelves = Forgetful()

    async def says(_: str, __: dict[str, Any]) -> AsyncIterator[bytes]:
        nonlocal reading, peak
        reading += 1
        peak = max(peak, reading)
        for _number in range(length // len(PIECE)):
            yield PIECE
        reading -= 1

    ward.says = says
    names = [f"pod-{number}" for number in range(pods)]
    seen = [make_seen(name, node=f"node-{number % 10}") for number, name in enumerate(names)]
    tracemalloc.start()
    try:
        async with ward.keeping(*seen, log_bytes=limit, log_concurrency=most):
            logs = await ward.kept(*names)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak == most
    assert used < most * (limit + 6 * len(PIECE)) + 2 * MIB
    assert {(log.state, log.bytes + log.dropped) for log in logs} == {(LogState.CUT, length)}
    assert len(ward.asked) == pods


@pytest.mark.long
async def test_a_hundred_real_pods_at_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    real, reading, peak = Cluster.pod_log, 0, 0

    async def counted(self: Cluster, *given: Any, **named: Any) -> AsyncIterator[bytes]:
        nonlocal reading, peak
        reading += 1
        peak = max(peak, reading)
        async for piece in real(self, *given, **named):
            yield piece
        reading -= 1

    monkeypatch.setattr(Cluster, "pod_log", counted)
    many: dict[str, Any] = {"completions": 100, "parallelism": 100, "completionMode": "Indexed"}
    async with opened(SQLITE) as store, store.writing() as writer, keeping(cluster, store, writer):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await cluster.create_job(job_of("many", container("seq 1 300000"), **many))
        pods = await pods_of(store, "many", count=100)
        logs = [await log_of(store, pod.uid) for pod in pods]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert {(log.state, log.bytes + log.dropped) for log in logs} == {(LogState.CUT, 1_988_895)}
    assert {pod.index for pod in pods} == set(range(100))
    assert peak <= 8
    assert grown < 150_000
