"""Logs of real processes are kept before their Jobs go: whole, or without their middle, each read once."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from handler.history.base import KeptLog, LogState, Store, Writer
from handler.history.logs import attending
from handler.history.logs.attending import ENDLESS
from handler.history.logs.bodies import gap_line
from handler.history.logs.objects import open_bodies
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from tests.handler.history.logs.keepers import container, job_of, keeping, log_of, pods_of, recorded
from tests.handler.history.logs.s3 import BUCKET, need_obstore, serving, variables
from tests.handler.history.logs.shelves import read_back
from tests.handler.jobs import gone, name_of, without_finalizer
from tests.handler.relay import running
from tests.handler.samples import SOURCE, make_request, until
from tests.patience import within


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


async def test_each_container_has_its_log(cluster: Cluster, store: Store, writer: Writer) -> None:
    sidecar = container("echo beside; exec sleep 100", "proxy", restartPolicy="Always")
    init = [container("echo first", "prepare"), sidecar]
    async with keeping(cluster, store, writer):
        await cluster.create_job(
            job_of("many", container("echo here; exit 4"), container("echo there", "other"), init=init)
        )
        (pod,) = await pods_of(store, "many")
        said = {name: await log_of(store, pod.uid, name) for name in ("main", "other", "prepare", "proxy")}
        assert {name: await read_back(store, log) for name, log in said.items()} == {
            "main": b"here\n",
            "other": b"there\n",
            "prepare": b"first\n",
            "proxy": b"beside\n",
        }
    assert (pod.exit_code, pod.index) == (4, None)


NOISE = r"printf '\377\376\200 no text\n\0\0'; head -c {} /dev/zero | tr '\0' '\351'"


@pytest.mark.parametrize(
    ("length", "limit"), [(3_000_000, 2_000_000), pytest.param(40 << 20, 16 << 20, marks=pytest.mark.long)]
)
async def test_bytes_are_kept_as_they_are(
    length: int, limit: int, cluster: Cluster, store: Store, writer: Writer
) -> None:
    """No UTF-8, no newline, more than is kept."""
    async with keeping(cluster, store, writer, log_bytes=limit):
        await cluster.create_job(job_of("noise", container(NOISE.format(length))))
        (pod,) = await pods_of(store, "noise")
        log = await log_of(store, pod.uid)
    whole = b"\xff\xfe\x80 no text\n\0\0" + b"\xe9" * length
    assert log.bytes + log.dropped == len(whole)
    head, tail = (await read_back(store, log)).split(b"\n" + gap_line(log.dropped))
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert limit - 10 < len(head) + len(tail) <= limit


async def test_pods_that_ended_while_nobody_looked_are_read_at_the_start(
    cluster: Cluster, store: Store, writer: Writer
) -> None:
    job = job_of(
        "three", container("echo $JOB_COMPLETION_INDEX"), completions=3, parallelism=3, completionMode="Indexed"
    )
    await cluster.create_job(job)

    async def is_over() -> bool:
        return bool((await cluster.read_job("default", "three"))["status"].get("succeeded") == 3)

    await until(is_over)
    async with keeping(cluster, store, writer) as metrics:
        pods = await pods_of(store, "three", count=3)
        logs = [await log_of(store, pod.uid) for pod in pods]
    assert {pod.index: await read_back(store, log) for pod, log in zip(pods, logs, strict=True)} == {
        0: b"0\n",
        1: b"1\n",
        2: b"2\n",
    }
    async with keeping(cluster, store, writer) as metrics:
        await cluster.create_job(job_of("after", container("true")))
        (after,) = await pods_of(store, "after")
        await log_of(store, after.uid)
        assert metrics.registry.get_sample_value("jobrelay_history_logs_total", {"state": "whole"}) == 1


@pytest.mark.parametrize("kind", ["file", pytest.param("s3", marks=pytest.mark.long)])
async def test_logs_are_kept_elsewhere(
    kind: str, cluster: Cluster, store: Store, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        url = f"file://{tmp_path}/kept"
        if kind == "s3":
            for name, value in variables(stack.enter_context(serving(tmp_path / "log"))).items():
                monkeypatch.setenv(name, value)
            url = f"s3://{BUCKET}/kept"
        need_obstore()
        async with open_bodies(url) as bodies, keeping(cluster, store, writer, bodies, log_bytes=1_000_000):
            await cluster.create_job(job_of("far", container("seq 1 500000")))
            (pod,) = await pods_of(store, "far")
            log = await log_of(store, pod.uid)
            whole = await read_back(store, log, bodies)
            assert log.state is LogState.CUT
            assert 16 <= len(log.chunks) <= 20
            assert whole.startswith(b"1\n2\n")
            assert whole.endswith(b"499999\n500000\n")
            assert len(whole) == log.bytes + len("[jobrelay: 2.4 MB left out here]\n")
            assert await store.chunk(pod.uid, "main", log.chunks[0]) is None
            assert bodies is not None
            await bodies.delete(pod.uid, "main", log.chunks)
            assert b"a part of the log is gone" in await read_back(store, log, bodies)


SAYS_THE_TIME = "while true; do date +%s.%N; sleep 0.05; done"


async def test_a_pod_that_goes_at_once_loses_five_seconds_of_its_log_at_most(
    cluster: Cluster, store: Store, writer: Writer
) -> None:
    async with keeping(cluster, store, writer, logs="follow"):
        await cluster.create_job(job_of("evicted", container(SAYS_THE_TIME)))
        request = await recorded(store, "evicted")
        (pod,) = await store.pods(request.pk)
        before = await log_of(store, pod.uid, growing=True)
        # In the middle between two reads.
        await until(lambda: _is_older(before, 2.0))
        path = f"/api/v1/namespaces/default/pods/{pod.name}"
        # Otherwise it stays until the Job controller has counted it, and its log is read to the end.
        bare = {"metadata": {"finalizers": None}}
        await cluster.client.request("PATCH", path, body=bare, content_type=STRATEGIC_MERGE)
        await cluster.client.request("DELETE", path, body={"gracePeriodSeconds": 0})
        killed = time.time()
        log = await log_of(store, pod.uid)
        lines = (await read_back(store, log)).split(b"\n")
    assert (log.state, log.dropped) == (LogState.CUT, 0)
    assert lines[-2] == f"[jobrelay: {ENDLESS}]".encode()
    times = [float(line) for line in lines[:-2]]
    assert times == sorted(set(times))
    assert killed - times[-1] < within(5.0)


async def test_a_pod_that_is_deleted_has_its_log_to_its_end(
    cluster: Cluster, store: Store, writer: Writer, tmp_path: Path
) -> None:
    async with keeping(cluster, store, writer, logs="end"):
        there = tmp_path / "there"
        says_goodbye = f"trap 'echo goodbye; exit 5' TERM; echo hello; touch {there}; while true; do sleep 0.05; done"
        await cluster.create_job(job_of("evicted", container(says_goodbye)))
        request = await recorded(store, "evicted")
        (pod,) = await store.pods(request.pk)
        await until(lambda: asyncio.to_thread(there.exists))
        await cluster.client.request("DELETE", f"/api/v1/namespaces/default/pods/{pod.name}")
        log = await log_of(store, pod.uid)
        said = (await read_back(store, log)).splitlines()
    assert (log.state, said[0], said[-1]) == (LogState.WHOLE, b"hello", b"goodbye")


async def test_a_log_that_is_followed_has_each_line_once(cluster: Cluster, store: Store, writer: Writer) -> None:
    """Reads come at any time: within lines, within seconds, while much is written."""
    script = "for i in $(seq 1 300); do seq $i 300 | tr '\\n' ' '; echo $i; echo $i >&2; done"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attending, "FOLLOW_SECONDS", 0.01)
        async with keeping(cluster, store, writer, logs="follow") as metrics:
            await cluster.create_job(job_of("busy", container(script)))
            (pod,) = await pods_of(store, "busy")
            log = await log_of(store, pod.uid)
            grown = metrics.registry.get_sample_value("jobrelay_history_logs_total", {"state": "growing"})
    lines = (f"{''.join(f'{number} ' for number in range(first, 301))}{first}\n{first}\n" for first in range(1, 301))
    assert log.state is LogState.WHOLE
    assert (await read_back(store, log)).decode() == "".join(lines)
    assert grown == 1


async def _is_older(log: KeptLog, seconds: float) -> bool:
    return time.time() - log.read > seconds
