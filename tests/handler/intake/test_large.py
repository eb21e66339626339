"""Large events: reading and judging one of them keeps nothing else waiting."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.cloudevent.event import encode_structured
from handler.effects.apart import LARGE, Apart
from k8s.api.cluster import Cluster
from tests.handler.relay import running
from tests.handler.samples import make_request
from tests.patience import within

NUMBERS = b"[" + b",".join([b"1e5"] * 150_000) + b"]"
"""Each is read by itself, so that its digits stay as they are: a quarter of a second."""
FILE = """
functions:
  - name: numbers
    filters: [{exact: {type: com.example.numbers}}]
    env: {FIRST: "{data.0}"}
    job:
      apiVersion: batch/v1
      kind: Job
      spec: {template: {spec: {containers: [{name: main, image: busybox, command: [sh, -c, 'echo $FIRST']}]}}}
"""


async def test_what_is_large_is_done_in_a_thread_one_at_a_time() -> None:
    apart, here = Apart(), threading.get_ident()
    running, most = 0, 0

    def work() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return threading.get_ident()

    large = [apart.do(work) for _ in range(5)]
    assert here not in await asyncio.gather(*large)
    assert most == 1
    with pytest.raises(ZeroDivisionError):
        await apart.do(lambda: 1 // 0)
    assert await apart.do(work) != here


@pytest.mark.parametrize(("more", "calls"), [(0, 0), (1, 2)])
async def test_only_what_is_large_is_read_and_rendered_apart(
    more: int, calls: int, broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    do = Apart.do

    async def counted(self: Apart, work: Callable[[], Any]) -> Any:
        done.append(work)
        return await do(self, work)

    monkeypatch.setattr(Apart, "do", counted)
    bare = len(encode_structured(make_request("large", job={"env": [{"name": "A", "value": ""}]})))
    request = make_request("large", job={"env": [{"name": "A", "value": "x" * (LARGE + more - bare)}]})
    assert len(encode_structured(request)) == LARGE + more
    async with running(broker, cluster) as client:
        await client.publish(request)
        await client.reached("large", "created")
    assert len(done) == calls


async def test_events_of_a_hundred_thousand_numbers_leave_the_loop_free(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    functions = tmp_path / "functions.yaml"
    functions.write_text(FILE)
    lag = 0.0

    async def watch() -> None:
        nonlocal lag
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            lag = max(lag, time.perf_counter() - begun)
            await asyncio.sleep(0.001)

    async with running(broker, cluster, functions=functions) as client:
        watching = asyncio.create_task(watch())
        headers = {
            "ce-specversion": "1.0",
            "ce-type": "com.example.numbers",
            "ce-source": "/tests",
            "content-type": "application/json",
        }
        for number in range(2):
            broker.put(Topic(Kind.REQUESTS), headers | {"ce-id": str(number)}, NUMBERS)
        await client.publish(make_request("small"))
        await client.ended("numbers/0")
        await client.ended("numbers/1")
        await client.ended("small")
        watching.cancel()
    assert lag <= within(0.1)
