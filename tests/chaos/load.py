"""A load of requests of every kind, the stage on which they run, and the account at the end."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, BrokerUnavailable, Kind, Topic
from adapters.servers.process import ServerFailed
from events.cloudevent.event import decode_structured
from events.names import DEFAULT_INSTANCE, Label
from events.phases import TERMINAL, Phase
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError, Manifest
from tests.chaos.claims import PhaseEvent, distinct, path_problems
from tests.chaos.observer import Observer, observing
from tests.handler.samples import make_request
from tests.patience import PATIENCE
from tests.processes import NATS, RABBITMQ, Installation, installation

INLINE = {"JOBRELAY_INLINE_BYTES": "1024"}
"""So low that a tenth of the requests need a Secret: three calls, between which jobrelay may crash."""

DEFAULT_LEASE = {f"JOBRELAY_LEASE_{name}SECONDS": "" for name in ("", "RENEW_", "RETRY_", "CALL_")}
"""The usual times, 10, 7, 2 and 3 s, instead of the short ones of these tests: a slow machine keeps the Lease."""
TRIED_TWICE = 90_000
"""A kind of request that no load by `count` has: it fails, is retried after a delay, and fails over."""


class Load:
    """`count` requests, or a request of each of `kinds`. Each container appends its request's id to a file as it runs.

    The last digit of a kind says what the request is; it sleeps for 0.4 s times the kind modulo 4.
    """

    def __init__(self, directory: Path, *, count: int = 0, kinds: Sequence[int] = (), prefix: str = "r") -> None:
        self.runs_file = directory / f"{prefix}.runs"
        self.expected_runs: Counter[str] = Counter()
        self.expected_jobs: Counter[str] = Counter()
        self.expected_end: dict[str, str] = {}
        self._prefix = f"{prefix}-"
        self.requests = [self._request(f"{self._prefix}{kind}", kind, directory) for kind in kinds or range(count)]

    def _request(self, name: str, number: int, directory: Path) -> CloudEvent:
        mark = f'echo {name} >> "{self.runs_file}"'
        fields: dict[str, Any] = {}
        if number == TRIED_TWICE:
            return self._tried_twice(name, mark)
        script, runs, end = f"{mark}; sleep {number % 4 * 0.4}", 1, "succeeded"
        match number % 10:
            case 0:
                script, end = f"{mark}; echo broken >&2; exit 3", "failed"
            case 1:
                once = directory / f"{name}.once"
                script, runs = f'{mark}; test -e "{once}" || {{ touch "{once}"; exit 1; }}', 2
                fields = {"retries": 1}
            case 2:
                fields = {"metadata": {"padding": "x" * 2000}}
            case 3:
                fields, runs = {"job": {"parallelism": 2, "completions": 2}}, 2
            case 4:
                fields, runs, end = {"webhook": "https://example.com"}, 0, "rejected"
        self.expect(name, runs=runs, end=end)
        return make_request(name, script=script, **fields)

    def _tried_twice(self, name: str, mark: str) -> CloudEvent:
        """Its event is in Secrets, and another request follows it."""
        other = f"{name}/failover"
        self.expect(name, runs=2, end="failed", jobs=2)
        self.expect(other, runs=1, end="succeeded")
        failover = {"job": {"image": "busybox:1", "command": ["sh", "-c", mark.replace(name, other, 1)]}}
        padding = {"padding": "x" * 2000}
        return make_request(
            name, script=f"{mark}; exit 3", retries=1, retryDelay=1, failover=failover, metadata=padding
        )

    def expect(self, name: str, *, runs: int, end: str, jobs: int = 1) -> None:
        """Note what is expected of a request: runs of its container, its last phase, and its Jobs if it gets any."""
        self.expected_runs += Counter({name: runs})
        self.expected_end[name] = end
        if end in TERMINAL:
            self.expected_jobs[name] = jobs

    @property
    def jobs(self) -> set[str]:
        """Ids of the requests that get a Job."""
        return {name for name, end in self.expected_end.items() if end in TERMINAL}

    def owns(self, request_id: str) -> bool:
        """Whether a request is of this load, by its id."""
        return request_id.startswith(self._prefix)

    def runs(self) -> Counter[str]:
        """How often each container has run so far."""
        return Counter(self.runs_file.read_text().split()) if self.runs_file.exists() else Counter()


async def publish(broker: Broker, event: CloudEvent) -> None:
    """Publish until the broker has the event: its id makes repeats harmless, for the broker or for jobrelay."""
    while True:
        try:
            return await broker.publish(Topic(Kind.REQUESTS), event)
        except BrokerUnavailable:
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running broker and cluster, the test's own connections to them, and a subscriber from before the start.

    `exact`: also ask RabbitMQ for messages that are delivered to others, which takes a second.
    """

    here: Installation
    broker: Broker
    cluster: Cluster
    observer: Observer = field(default_factory=Observer)
    instance: str = DEFAULT_INSTANCE
    exact: bool = True

    async def jobs(self, load: Load) -> list[Manifest]:
        """The Jobs of this load in this installation."""
        jobs = await self.cluster.list_jobs("default", f"{Label.INSTANCE}={self.instance}")
        return [job for job in jobs if load.owns(_id(job))]

    async def waiting(self) -> dict[str, int]:
        """How many requests and commands the broker has, delivered or not, by queue. Raises `BrokerUnavailable`."""
        depths = (await self.broker.depth()).items()
        found = {str(topic): depth.ready + depth.unsettled for topic, depth in depths if topic.kind is not Kind.DEAD}
        known = any(found.values()) or self.broker.name == NATS or not self.exact
        return found if known else await self._in_queues()

    async def _in_queues(self) -> dict[str, int]:
        """By AMQP alone, messages that are delivered to others or delayed cannot be counted."""
        try:
            lines = (await self.here.rabbit.ctl("list_queues", "name", "messages")).splitlines()
        except ServerFailed as error:
            raise BrokerUnavailable(str(error)) from error
        counts = dict(line.split("\t") for line in lines if line.startswith("jobrelay."))
        kept = ("jobrelay.dead", "jobrelay.lifecycle.log", "jobrelay.probe")
        return {name: int(count) for name, count in counts.items() if name not in kept}


@asynccontextmanager
async def stage(directory: Path, *, broker: str = NATS, nats: str = "", rabbit: str = "") -> AsyncIterator[Stage]:
    """`nats`, `rabbit`: lines to append to the broker's configuration."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(installation(directory, brokers=[broker], nats=nats, rabbit=rabbit))
        connected = await stack.enter_async_context(here.broker())
        cluster = await stack.enter_async_context(here.cluster())
        if broker == RABBITMQ:
            await connected.declare()
            async with asyncio.timeout(PATIENCE):
                await here.outlives_kill()
        observer = await stack.enter_async_context(observing(here.server.url))
        yield Stage(here=here, broker=connected, cluster=cluster, observer=observer)


async def stored(broker: Broker, *, key: str | None = None) -> list[PhaseEvent]:
    """The events in the lifecycle stream, with this key or all."""
    async with broker.history(Kind.LIFECYCLE, key=key) as records:
        return [PhaseEvent.of(decode_structured(record.body)) async for record in records]


async def quiet(on: Stage, load: Load, *, seconds: float) -> None:
    """Wait until nothing is left to do: all expected Jobs are there, without finalizers, and the queues are empty."""
    state = ""
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    jobs = await on.jobs(load)
                    unfinished = sum("finalizers" in job["metadata"] for job in jobs)
                    waiting = await on.waiting()
                    state = f"{len(jobs)} Jobs, {unfinished} with a finalizer, {waiting}"
                    if len(jobs) == load.expected_jobs.total() and not unfinished and not any(waiting.values()):
                        return
                except (KubernetesError, BrokerUnavailable) as error:
                    state = str(error)
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not quiet after {seconds} s: {state}") from None


async def account(on: Stage, load: Load, views: Sequence[Sequence[PhaseEvent]]) -> None:
    """Check every claim about this load, once all is quiet. `views`: lifecycle events, each view complete in itself."""
    jobs = await on.jobs(load)
    assert Counter(_id(job) for job in jobs) == load.expected_jobs
    assert load.runs() == load.expected_runs
    assert [job["metadata"]["name"] for job in jobs if job["metadata"].get("finalizers")] == []
    waiting = await on.waiting()
    assert not any(waiting.values()), waiting
    async with on.broker.history(Kind.DEAD) as records:
        claimed = [_claimed_id(record.body) async for record in records]
    dead = [name for name in claimed if load.owns(name)]
    # A kill between dead letter and acknowledgement repeats the letter, and only NATS drops the repeat.
    letters = dead if on.broker.name == NATS else set(dead)
    assert Counter(letters) == Counter(load.expected_end.keys() - load.jobs)
    for view in views:
        assert not (wrong := problems(load, [event for event in view if load.owns(event.subject)])), wrong


def problems(load: Load, events: Sequence[PhaseEvent]) -> dict[str, list[str]]:
    """What is wrong with the events of each request, by request."""
    paths: dict[str, list[PhaseEvent]] = defaultdict(list)
    for event in distinct(events):
        paths[event.subject].append(event)
    found = {subject: ["not of this load"] for subject in paths.keys() - load.expected_end.keys()}
    for subject, end in load.expected_end.items():
        path = paths[subject]
        if end == Phase.REJECTED:
            if [event.phase for event in path] != [end]:
                found[subject] = [event.id for event in path]
            continue
        wrong = path_problems(path)
        if [event.phase for event in path if event.phase in TERMINAL] != [end]:
            wrong.append(f"does not end with {end} alone")
        unasked = [event.phase for event in path if event.phase in ("suspended", "resumed", "stalled")]
        wrong += [f"nobody asked for {phase}" for phase in unasked]
        if wrong:
            found[subject] = [*wrong, " ".join(event.id for event in path)]
    return found


def _claimed_id(body: bytes) -> str:
    data: Any = decode_structured(body).get_data()
    return str(data["id"])


def _id(job: Manifest) -> str:
    return str(job["metadata"]["annotations"]["jobrelay.dev/id"])


class Journal:
    """Notes of what was done and when, printed at the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begun = time.monotonic()
        self._lines: list[str] = []

    def note(self, text: str) -> None:
        self._lines.append(f"{time.monotonic() - self._begun:8.2f} s  {text}")

    def show(self, observer: Observer, load: Load) -> None:
        received = observer.received()
        different = distinct(received)
        self.note(
            f"quiet: {len(load.jobs)} Jobs, {load.runs().total()} containers ran, {len(received)} events heard, "
            f"{len(different)} different, {dict(Counter(event.phase for event in different))}"
        )
        self.print()

    def print(self) -> None:
        print(f"\n{self._title}", *self._lines, sep="\n")


async def feed(broker: Broker, requests: Sequence[CloudEvent], *, over: float) -> None:
    """Publish all of them, spread over `over` seconds."""
    pause = over / max(1, len(requests))
    for request in requests:
        await publish(broker, request)
        await asyncio.sleep(random.uniform(0, 2 * pause))


async def under_way(observer: Observer, *, at_least: int, seconds: float = PATIENCE) -> None:
    """Wait until the observer has at least so many events."""
    async with asyncio.timeout(seconds):
        while len(observer.events) < at_least:
            await asyncio.sleep(0.02)
