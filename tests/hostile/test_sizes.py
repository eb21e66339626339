"""The largest and the most expensive messages, as many as a handler works on at a time: nobody notices, none is fatal.

Handler and controller are held to the memory that their manifests allow (limits.py).
"""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle
from pathlib import Path

import pytest

from events.names import REQUESTED_TYPE
from tests.chaos.table import Rows
from tests.e2e.site import NATS, RABBITMQ, Site
from tests.hostile.limits import enforce, limit_mib
from tests.hostile.neighbour import Scene, attacked, cpu_seconds, peak_mib
from tests.long import LONG
from tests.patience import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

SIZE = (1 << 20) - 20_000
"""Bytes of a message: NATS takes 1 MiB with its headers, and jobrelay keeps 16 KiB for its own."""
COUNT = 64 if LONG else 8
"""Messages: as many as a handler works on at a time."""
JUDGED = re.compile(r"jobrelay_messages_(processed|failed|duplicate)_total\{")
REST = 0.5
OUTCOMES_SECONDS = 900.0 if LONG else PATIENCE
"""The development cluster takes its time with Jobs of 1 MB."""
HEAD = b'{"specversion":"1.0","source":"/hostile","datacontenttype":"application/json"'
JOB = b'{"service":"hostile","job":{"image":"%s","command":["true"]'
VOLUMES = b",".join([b'{"a":0,"b":0}'] * 3000)

REFUSED = {
    "variables that are numbers": (JOB + b',"env":[', b"0", b"]}}"),
    "variables without a name": (JOB + b',"env":[', b"{}", b"]}}"),
    "unknown fields": (JOB + b',"volumes":[', b'{"a":0,"b":0,"c":0}', b"]}}"),
    "decimals": (JOB + b'},"metadata":{"a":[', b"1.50", b"]}}"),
    "failover": (JOB + b'},"failover":{"job":{"image":"a","args":[', b"0", b"]}}}"),
    "values, just few enough": (JOB + b',"volumes":[' + VOLUMES + b'],"args":["', b"x", b'"]}}'),
    "broken off": (JOB + b',"env":[', b"[[0]]", b""),
}
"""Before, in between (repeated), after: the data of requests that are refused."""
KEPT = {
    "arguments": (JOB + b',"args":[', b'"' + "ä".encode() * 5000 + "😀".encode() + b'"', b"]}}"),
    "empty objects": (b"[", b"{}", b"]"),
    "numbers": (b"[", b"1e5", b"]"),
}
"""The same of events that become Jobs."""
FUNCTIONS = """
functions:
  - name: any
    filters: [{exact: {type: com.example.any}}]
    env: {FIRST: "{data.0}"}
    job:
      apiVersion: batch/v1
      kind: Job
      spec: {template: {spec: {containers: [{name: main, image: IMAGE, command: ["true"]}]}}}
"""


def message(parts: tuple[bytes, bytes, bytes], number: object, *, image: str) -> bytes:
    """An event of `SIZE` bytes; a request if its data are."""
    before, item, after = parts
    kind = REQUESTED_TYPE if before.startswith(JOB) else "com.example.any"
    if b"%s" in before:
        before = before % image.encode()
    head = b'%s,"type":"%s","id":"%s","data":%s' % (HEAD, kind.encode(), str(number).encode(), before)
    separator = b"" if item == b"x" else b","
    room = SIZE - len(head) - len(after) - 1
    return head + separator.join([item] * (room // (len(item) + len(separator)))) + after + b"}"


@asynccontextmanager
async def limited(site: Site, rows: Rows, directory: Path) -> AsyncIterator[Scene]:
    """An installation that has read a large event and then got its limits: threads map memory of their own."""
    functions = directory / "functions.yaml"
    functions.write_text(FUNCTIONS.replace("IMAGE", site.image))
    async with attacked(site, rows, functions=functions, log_level="WARNING", nats_max_bytes=1 << 30) as scene:
        await scene.publish(message(KEPT["empty objects"], "first", image=site.image))
        await scene.observer.ended("any/first")
        for role, relay in scene.relays.items():
            enforce(relay, role)
        yield scene
        for role, relay in scene.relays.items():
            assert peak_mib(relay) < limit_mib(role)
            assert "Traceback" not in relay.process.output(), relay.process.output()[-2000:]


async def publish(scene: Scene, kinds: Mapping[str, tuple[bytes, bytes, bytes]]) -> int:
    """`COUNT` messages of these kinds, in turns. Returns how many that are."""
    for number, (kind, parts) in zip(range(COUNT), cycle(kinds.items()), strict=False):
        await scene.publish(message(parts, f"{kind}-{number}".replace(" ", "-"), image=scene.site.image))
    return COUNT


async def judged(scene: Scene) -> float:
    """How many requests have had an outcome."""
    return sum(value for name, value in (await scene.handler.metrics()).items() if JUDGED.match(name))


async def have_outcomes(scene: Scene, count: float) -> None:
    async with asyncio.timeout(OUTCOMES_SECONDS):
        while await judged(scene) < count:
            await asyncio.sleep(0.1)


@contextmanager
def frozen(site: Site) -> Iterator[None]:
    """Within the block our API server answers nobody."""
    assert site.server is not None
    os.kill(site.server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(site.server.pid, signal.SIGCONT)


async def at_rest(scene: Scene) -> None:
    """Wait until the handler has read everything that it holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = cpu_seconds(scene.handler)
            await asyncio.sleep(REST)
            if cpu_seconds(scene.handler) - before < REST / 10:
                return


@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)])
async def test_the_most_expensive_messages_are_refused_and_those_that_are_kept_fit(
    site: Site, rows: Rows, tmp_path: Path
) -> None:
    async with limited(site, rows, tmp_path) as scene:
        async with scene.neighbour("the most expensive messages", size=f"{COUNT} of 1 MB") as neighbour:
            before = await judged(scene)
            await have_outcomes(scene, before + await publish(scene, REFUSED))
        assert neighbour.outcomes
        if site.server is None:
            return
        before = await judged(scene)
        with frozen(site):
            sent = await publish(scene, KEPT)
            await at_rest(scene)
        await have_outcomes(scene, before + sent)
        await scene.observer.publish(scene.request("after"))
        await scene.observer.ended("after")
