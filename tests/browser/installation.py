"""An installation whose page is looked at: all of it in this process, with requests of every kind in its history."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker, connect
from events.cloudevent.event import decode_structured, encode_structured
from events.cloudevent.timestamp import format_epoch, parse_epoch
from handler.console.backend import Backend
from handler.console.serving.server import serve_page
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster, connect as connect_cluster
from k8s.devcluster.loops import Options
from k8s.devcluster.server import ServerOptions, serve
from tests.handler.console.served import Served, served
from tests.handler.history.recording.records import a_life
from tests.handler.relay import Client, running
from tests.handler.samples import make_request, until, waits_for

HOUR = 3600.0
FAILED = "invoice-4711"
"""Failed an hour ago: its image cannot be pulled."""
BROKEN = "report-12"
"""Failed an hour ago with words in its log."""
RUNNING = "import-7"
WAITING = "import-8"
TYPO = "typo"
SCHEDULE = "nightly report/Zürich"
"""An id that has to be escaped in paths."""
HOSTILE = "<script>alert(1)</script> \u202e'\"&/..%2F?#{{7*7}}"
"""What somebody calls whatever can be named, to have it act as something else."""
WORDS = f"{HOSTILE}\x1b[31m\x00\x08 javascript:alert(1)"
"""What containers and errors say: no character is forbidden."""
LIVES = 60
"""Ended requests beside these: more than a page of them."""


PHASES = {
    FAILED: "failed",
    BROKEN: "failed",
    RUNNING: "started",
    WAITING: "queued",
    SCHEDULE: "scheduled",
    TYPO: "rejected",
    HOSTILE: "failed",
}


@dataclass(frozen=True, slots=True)
class Installation:
    """`page`: where everybody who reaches it may act. `numbers`: of the requests above, by their ids."""

    client: Client
    page: Served
    cluster: Cluster
    directory: Path
    numbers: Mapping[str, int]

    @asynccontextmanager
    async def another(self, **settings: Any) -> AsyncIterator[str]:
        """The URL of another page of the same installation, with settings of its own; without a slash at its end."""
        chosen = Settings(**{"role": "console", "ui_address": "127.0.0.1:0", **settings})
        ours = self.page.backend
        backend = Backend(chosen, cluster=self.cluster, brokers=ours.brokers, metrics=ours.metrics)
        backend.opened(ours.reader, ours.bodies)
        async with serve_page(backend) as serving:
            assert serving is not None
            yield serving.url.rstrip("/")

    async def number_of(self, request_id: str, *phases: str) -> int:
        """The number of the newest request of this id, once it is recorded in one of these phases."""

        async def look() -> int | None:
            found = await self.page.backend.reader.find(request_id)
            return next((one.pk for one in found if not phases or one.phase in phases), None)

        return await until(look)


@asynccontextmanager
async def installed(directory: Path) -> AsyncIterator[Installation]:
    """Running until the block ends."""
    options = ServerOptions(running=Options(backoff=0.5))
    async with (
        serve(directory / "cluster", options=options) as devcluster,
        connect_cluster(kubeconfig=devcluster.kubeconfig) as cluster,
        connect() as broker,
    ):
        await broker.declare()
        await _put(broker, *await _earlier(cluster), *_lives(), *_hostile())
        async with (
            running(broker, cluster, max_active_per_service=1) as client,
            served(broker, cluster, f"sqlite://{directory / 'history.db'}") as page,
        ):
            await client.publish(*_now(directory))
            made = Installation(client, page, cluster, directory, {})
            yield replace(made, numbers={name: await made.number_of(name, phase) for name, phase in PHASES.items()})
            (directory / "go-on").touch()


async def _earlier(cluster: Cluster) -> list[CloudEvent]:
    """What became of two requests, as if that had been an hour ago. Their Jobs are still there."""
    words = "echo reading rows; echo row 12 is no number >&2; exit 3"
    requests = (
        make_request(FAILED, script="echo 42", service="billing", startTimeout=5, job={"image": "missing/invoices:7"}),
        make_request(BROKEN, script=words, service="billing", tags=["night"]),
    )
    async with connect() as broker:
        await broker.declare()
        async with running(broker, cluster) as client:
            await client.publish(*requests)
            for name in (FAILED, BROKEN):
                await client.ended(name)
            return [_moved(event, -HOUR) for name in (FAILED, BROKEN) for event in await client.events(name)]


def _moved(event: CloudEvent, seconds: float) -> CloudEvent:
    """The same event at another time."""

    def moved(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: moved(item, key) for key, item in value.items()}
        is_time = isinstance(value, str) and (name == "time" or name.endswith(("At", "Time")))
        return format_epoch(parse_epoch(value) + seconds) if is_time else value

    return decode_structured(orjson.dumps(moved(orjson.loads(encode_structured(event)))))


def _lives() -> Iterator[CloudEvent]:
    """Requests of the last day, none of them within the last two hours."""
    for number in range(LIVES):
        ended = "succeeded" if number % 7 else "failed"
        yield from a_life(f"order-{number}", time=time.time() - 22 * HOUR + number * 1000, end=ended)


def _hostile() -> Iterator[CloudEvent]:
    """A request that is called so everywhere, with a result as long as it may be, and 10,000 tags."""
    for event in a_life("hostile", time=time.time() - 2 * HOUR, end="failed"):
        found = orjson.loads(encode_structured(event))
        found |= dict.fromkeys(("subject", "causationid", "partitionkey"), HOSTILE)
        found["data"]["id"] = HOSTILE
        detail = found["data"]["detail"]
        detail["service"] = HOSTILE
        if "error" in detail:
            detail |= {"error": {"errorCode": WORDS, "message": WORDS * 1000}, "logTail": WORDS * 100}
            detail["result"] = {WORDS: "x" * 100_000}
        if "tags" in detail:
            detail["tags"] = [WORDS, *(f"tag {number}" for number in range(10_000))]
        if "podName" in detail:
            detail |= {"podName": WORDS, "node": WORDS}
        yield decode_structured(orjson.dumps(found))


async def _put(broker: MemoryBroker, *events: CloudEvent) -> None:
    """Into the log of lifecycle events. Nobody looks at the key of their topic."""
    for event in events:
        await broker.publish(Topic(Kind.LIFECYCLE, "earlier"), event)


def _now(directory: Path) -> Iterator[CloudEvent]:
    """What runs, waits, is to run each night, and cannot be understood."""
    for name in (RUNNING, WAITING):
        words = f"echo {name} begins; {waits_for(directory / 'go-on')}"
        yield make_request(name, script=words, service="imports")
    yield make_request(SCHEDULE, script="echo good night", service="reports", schedule="30 3 * * *")
    yield make_request(TYPO, comand=["true"])
